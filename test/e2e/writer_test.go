//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// writer is a pod that writes to claims and reads back all the time, see testdata/writer.yaml.
type writer struct {
	namespace
	pod    string
	claims []string
}

// startWriter makes the pod and does not wait for it.
func (n namespace) startWriter(name, node string, claims ...string) writer {
	n.t.Helper()
	n.apply("writer.yaml", map[string]any{"Pod": name, "Node": node, "Claims": claims})
	return writer{n, name, claims}
}

// rounds is how often it has written to every claim.
func (w writer) rounds() (int, error) {
	out, err := w.tryIn("exec", w.pod, "--", "sh", "-c", "cat /tmp/round 2>/dev/null || echo 0")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(out))
}

// goesOn is a check that it has written since it had done so many rounds.
func (w writer) goesOn(since int) func() error {
	return func() error {
		now, err := w.rounds()
		if err == nil && now <= since {
			err = fmt.Errorf("%s is still in round %d; it says %s", w.pod, now+1, w.errors())
		}
		return err
	}
}

// errors is what went wrong in the pod.
func (w writer) errors() []string {
	out, err := w.tryIn("exec", w.pod, "--", "sh", "-c", "cat /tmp/errors 2>/dev/null || true")
	if err != nil {
		return []string{err.Error()}
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
}

// finish lets it end its round, and judges what it has seen and what the server holds of it.
func (w writer) finish(what string, s faultServer) {
	w.t.Helper()
	w.sh(w.pod, "touch /tmp/stop")
	w.eventually(w.pod+" ends its round", 2*time.Minute, func() error {
		_, err := w.tryIn("exec", w.pod, "--", "test", "-e", "/tmp/stopped")
		return err
	})
	rounds, err := w.rounds()
	if err != nil || rounds == 0 {
		w.t.Fatalf("%s has written %d rounds: %v", w.pod, rounds, err)
	}
	found := w.errors()
	var script strings.Builder
	script.WriteString("cd " + mainExport + "\n")
	for _, claim := range w.claims {
		fmt.Fprintf(&script, `cd %q || exit 1
awk -v rounds=%d '$1 != NR {bad = 1} END {if (bad || NR != rounds) print "the log of %s has", NR, "lines"}' log
for k in 0 1 2 3 4; do [ ! -e block-$k ] || [ "$(sha256sum < block-$k)" = "$(cat sum-$k)" ] || echo "block $k of %[3]s differs"; done; cd %[4]q
`, w.volumeOf(claim).Dir, rounds, claim, mainExport)
	}
	found = append(found, strings.FieldsFunc(s.run(script.String()), func(r rune) bool { return r == '\n' })...)
	w.none(fmt.Sprintf("%s: errors of a pod that wrote %d rounds to %d volumes", what, rounds, len(w.claims)), found)
}
