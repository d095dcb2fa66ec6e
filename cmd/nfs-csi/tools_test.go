package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const (
	toolsDoc     = "../../docs/tools.md"
	toolsDocMark = "<!-- From here on the text is made from the commands: `make tools-doc` -->\n"
)

// TestToolsDoc compares docs/tools.md with what the commands say of themselves. `make tools-doc` writes it anew.
func TestToolsDoc(t *testing.T) {
	for _, name := range []string{"NFS_TLS_CA", "NFS_TLS_CERT", "NFS_TLS_KEY"} {
		t.Setenv(name, "") // they are defaults
	}
	var b strings.Builder
	root := rootCommand()
	for _, c := range root.Commands() {
		if isTool(c) {
			describe(&b, c)
		}
	}
	text, err := os.ReadFile(toolsDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, committed, ok := strings.Cut(string(text), toolsDocMark)
	if !ok {
		t.Fatalf("%s has no line %s", toolsDoc, toolsDocMark)
	}
	if *update {
		if err := os.WriteFile(toolsDoc, []byte(before+toolsDocMark+b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if committed != b.String() {
		t.Errorf("%s is not what the commands say: run `make tools-doc` and commit the result", toolsDoc)
	}
}

func isTool(c *cobra.Command) bool {
	for _, tool := range toolCommands() {
		if tool.Name() == c.Name() {
			return true
		}
	}
	return false
}

// describe writes a command and those below it in Markdown.
func describe(b *strings.Builder, c *cobra.Command) {
	about := c.Long
	if about == "" {
		about = c.Short + "."
	}
	fmt.Fprintf(b, "\n## %s\n```\n%s\n```\n", c.CommandPath(), about)
	if c.Example != "" {
		fmt.Fprintf(b, "```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
	if c.Runnable() {
		fmt.Fprintf(b, "```\n%s\n%s```\n", c.UseLine(), c.NonInheritedFlags().FlagUsages())
	}
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			describe(b, below)
		}
	}
}
