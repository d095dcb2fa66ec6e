package hinting

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// export is one whose answers a test chooses.
type export struct {
	mu     sync.Mutex
	answer func(options []string) error
	asked  []string
	works  []bool
}

func (e *export) is(answer func([]string) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *export) look(ctx context.Context, options []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("a look without a deadline")
	}
	e.asked = append(e.asked, strings.Join(options, ","))
	return e.answer(options)
}

func (e *export) observe(works bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.works = append(e.works, works)
}

func (e *export) seen() (asked []string, works []bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked), slices.Clone(e.works)
}

func always(err error) func([]string) error { return func([]string) error { return err } }

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no sign of %s", what)
		}
	}
}

// start runs a watcher until the end of the test.
func start(t *testing.T, e *export, change func(*Config)) *fake.Clientset {
	t.Helper()
	client := fake.NewClientset()
	c := Config{
		Export: volume.Location{Server: "nfs.example.com", Share: "/exports/k8s"}, Look: e.look, Ways: func() [][]string { return nil }, Client: client,
		Pod: &v1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: "nfs", Name: "controller-0", UID: "pod-uid"}, Source: "nfs-csi.example.com",
		Observe: e.observe, Log: slog.New(slog.DiscardHandler), Every: time.Millisecond, Again: time.Millisecond,
	}
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); Run(ctx, c) }()
	t.Cleanup(func() { cancel(); <-done })
	return client
}

func events(t *testing.T, client *fake.Clientset, reason string) []v1.Event {
	t.Helper()
	list, err := client.CoreV1().Events("nfs").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(e v1.Event) bool { return e.Reason != reason })
}

// An export that fails, and works again: the pod says each once, with what to do.
func TestTheDefaultExportFails(t *testing.T) {
	e := &export{answer: always(errors.New("export is read-only: export the directory with rw"))}
	client := start(t, e, nil)
	await(t, "the warning", func() bool { return len(events(t, client, Fails)) > 0 })
	await(t, "more looks", func() bool { asked, _ := e.seen(); return len(asked) > 20 })
	told := events(t, client, Fails)
	if len(told) != 1 || told[0].Count != 1 || told[0].Type != v1.EventTypeWarning || told[0].InvolvedObject.UID != "pod-uid" ||
		told[0].InvolvedObject.Kind != "Pod" || told[0].Source.Component != "nfs-csi.example.com" {
		t.Errorf("of a failure there are the Events %+v", told)
	}
	for _, words := range []string{"nfs.example.com:/exports/k8s", "export the directory with rw", "Other exports are served"} {
		if !strings.Contains(told[0].Message, words) {
			t.Errorf("%q does not say %q", told[0].Message, words)
		}
	}
	if _, works := e.seen(); slices.Contains(works, true) {
		t.Errorf("observed %v", works)
	}
	e.is(always(nil))
	await(t, "the good news", func() bool { return len(events(t, client, Works)) > 0 })
	_, before := e.seen()
	await(t, "more looks", func() bool { _, works := e.seen(); return len(works) > len(before)+20 })
	if told := events(t, client, Works); len(told) != 1 || told[0].Type != v1.EventTypeNormal {
		t.Errorf("of the mending there are %+v", told)
	}
	if _, works := e.seen(); !works[len(works)-1] {
		t.Error("it is observed as failing")
	}
}

// One that works is not spoken of, and is looked at in every way that a class has.
func TestTheDefaultExportWorks(t *testing.T) {
	e := &export{answer: always(nil)}
	client := start(t, e, func(c *Config) { c.Ways = func() [][]string { return [][]string{{"vers=4.1", "hard"}, nil} } })
	await(t, "some looks", func() bool { asked, _ := e.seen(); return len(asked) > 20 })
	if asked, _ := e.seen(); !slices.Equal(asked[:4], []string{"vers=4.1,hard", "", "vers=4.1,hard", ""}) {
		t.Errorf("looked with %q", asked[:4])
	}
	if list, err := client.CoreV1().Events("").List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
		t.Errorf("there are the Events %+v, %v", list, err)
	}
	e.is(func(options []string) error {
		if options == nil {
			return nil
		}
		return errors.New("it has no version 4.1")
	})
	await(t, "the warning", func() bool { return len(events(t, client, Fails)) > 0 })
	if text := events(t, client, Fails)[0].Message; !strings.Contains(text, "with mount options vers=4.1,hard: it has no version 4.1") {
		t.Errorf("it says %q", text)
	}
}

// Outside a pod there is nobody to speak of; and the end is no failure.
func TestTheDefaultExportWithoutAPod(t *testing.T) {
	e := &export{answer: always(errors.New("gone"))}
	client := start(t, e, func(c *Config) { c.Pod = nil })
	await(t, "a look", func() bool { _, works := e.seen(); return len(works) > 0 })
	if len(client.Actions()) > 0 {
		t.Errorf("the API server was asked for %v", client.Actions())
	}
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	Run(ctx, Config{
		Look: func(context.Context, []string) error { looks++; cancel(); return context.Canceled }, Ways: func() [][]string { return nil },
		Observe: func(bool) { t.Error("the end was observed") }, Log: slog.New(slog.DiscardHandler),
	})
	if looks != 1 {
		t.Errorf("%d looks", looks)
	}
}
