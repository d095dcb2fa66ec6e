// Command mkimage packs a directory tree into a container image of one layer, in the format of `docker save`, without a container engine.
//
// The same tree gives the same bytes: entries are sorted and carry no time.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("mkimage REF DIR", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("o", "", "the tar file to write")
	entrypoint := flags.String("entrypoint", "", "comma-separated program and arguments")
	cmd := flags.String("cmd", "", "comma-separated default arguments")
	user := flags.String("user", "", "user or uid:gid that the program runs as")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" || flags.NArg() != 2 {
		return errors.New("usage: mkimage -o OUT.tar [-entrypoint A,B] [-cmd A,B] [-user U] REF DIR")
	}
	settings := settings{
		Entrypoint: words(*entrypoint),
		Cmd:        words(*cmd),
		User:       *user,
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		WorkingDir: "/",
	}
	return writeImage(*out, flags.Arg(0), os.DirFS(flags.Arg(1)), settings)
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
