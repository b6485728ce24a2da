"""The pure core: values in, values out; no clock, no I/O, no Faust, no import of ours from outside this package."""
