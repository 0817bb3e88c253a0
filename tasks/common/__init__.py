"""What every package uses: values, text, files, signals, errors, the loader of scripts."""
