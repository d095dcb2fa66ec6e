package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// said are the texts of the program, with "…" for each verb of a format.
func said(t *testing.T) []string {
	t.Helper()
	verb := regexp.MustCompile(`%[-+# 0]*[0-9]*(?:\.[0-9]*)?[a-zA-Z]`)
	var texts []string
	for _, dir := range []string{"cmd", "pkg"} {
		for _, file := range sources(t, dir) {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, text := range literals(parse(t, file)) {
				texts = append(texts, verb.ReplaceAllString(text, "…"))
			}
		}
	}
	return texts
}

// quoted are the messages in the first columns of a document's tables.
func quoted(text string) []string {
	var messages []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(text, -1) {
		messages = append(messages, m[1])
	}
	return messages
}

// saysKubelet are messages that are not ours, and asked about.
var saysKubelet = []string{"driver name nfs-csi.github.io not found in the list of registered CSI drivers", "applyFSGroup failed"}

// TestQuotedMessagesAreSaid: the program says each message of docs/troubleshooting.md in these words.
func TestQuotedMessagesAreSaid(t *testing.T) {
	texts := said(t)
	messages := quoted(read(t, "docs/troubleshooting.md"))
	if len(messages) < 40 {
		t.Errorf("found only %d messages", len(messages))
	}
	for _, message := range messages {
		if !slices.Contains(saysKubelet, message) && !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, message) }) {
			t.Errorf("nobody says %q", message)
		}
	}
}

// TestQuoted: the check above finds what it is for.
func TestQuoted(t *testing.T) {
	got := quoted("| it says | why |\n| --- | --- |\n| `a … b` | `c` |\n| no code | `d` |\n text `e` |\n| `f` |\n")
	if !slices.Equal(got, []string{"a … b", "f"}) {
		t.Errorf("quoted are %q", got)
	}
	if texts := said(t); slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, "%q") }) {
		t.Error("a verb is left")
	}
}
