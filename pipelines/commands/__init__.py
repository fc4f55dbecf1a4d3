"""The command line: words in, `Run` or a function of the library, words out."""
