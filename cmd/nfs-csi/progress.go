package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// barWidth is that of a full bar.
const barWidth = 30

// progress shows how far work on volumes is: a bar on a terminal, elsewhere a line for each; failures have a line in both. past is what a
// volume is called that is done.
func progress(w io.Writer, past string) func(done, of int, name string, err error) {
	if isTerminal(w) {
		return progressBar(w, past)
	}
	return func(done, of int, name string, err error) { fmt.Fprintln(w, progressLine(done, of, name, past, err)) }
}

func progressBar(w io.Writer, past string) func(done, of int, name string, err error) {
	return func(done, of int, name string, err error) {
		const anew = "\r\x1b[K" // to the beginning of the line, and clear it
		if err != nil {
			fmt.Fprintln(w, anew+progressLine(done, of, name, past, err))
		}
		full := barWidth * done / max(of, 1)
		fmt.Fprintf(w, "%s[%s%s] %d of %d %s", anew, strings.Repeat("#", full), strings.Repeat("-", barWidth-full), done, of, past)
		if done == of {
			fmt.Fprintln(w)
		}
	}
}

func progressLine(done, of int, name, past string, err error) string {
	if err != nil {
		return fmt.Sprintf("[%d/%d] %s: %s", done, of, printable(name), printable(err.Error()))
	}
	return fmt.Sprintf("[%d/%d] %s %s", done, of, printable(name), past)
}

// isTerminal: whoever reads w is a person.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
