// Package hinting says on the controller's own pod that the default export does not work, and how to mend it.
//
// The controller stays ready meanwhile: classes with exports of their own are served.
package hinting

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// The reasons of the Events.
const (
	Fails = "DefaultExportFails"
	Works = "DefaultExportWorks"
)

// Config says what is looked at and who is told.
type Config struct {
	Export volume.Location
	// Look answers nil where volumes can be made on the export as nodes mount it with these options, else why not and what to do, in
	// words for people. It writes nothing there.
	Look func(ctx context.Context, mountOptions []string) error
	// Ways are the mount options of each class that uses the export; none: it is looked at without any.
	Ways    func() [][]string
	Client  kubernetes.Interface
	Pod     *v1.ObjectReference // nil: only the log and Observe are told
	Source  string              // whom the Events come from
	Observe func(works bool)    // is told of every look
	Log     *slog.Logger
	Every   time.Duration // between two looks at what works; 0: ten minutes
	Again   time.Duration // the same of what does not; 0: a minute
}

const (
	every, again = 10 * time.Minute, time.Minute
	// lookTimeout bounds one look in one way.
	lookTimeout = 20 * time.Second
	// tellEvery is how often an Event is repeated: an API server keeps one for an hour.
	tellEvery = 10 * time.Minute
)

// watcher is one run.
type watcher struct {
	Config
	recorder record.EventRecorder
	failing  bool
	told     time.Time
}

// Run looks until ctx ends. It is called while this process leads.
func Run(ctx context.Context, c Config) {
	if c.Every == 0 {
		c.Every = every
	}
	if c.Again == 0 {
		c.Again = again
	}
	w := watcher{Config: c}
	if c.Pod != nil {
		events := record.NewBroadcaster()
		events.StartRecordingToSink(&corev1.EventSinkImpl{Interface: c.Client.CoreV1().Events("")})
		defer events.Shutdown()
		w.recorder = events.NewRecorder(scheme.Scheme, v1.EventSource{Component: c.Source})
	}
	for ctx.Err() == nil {
		pause := w.Every
		if err := w.look(ctx); err != nil {
			pause = w.Again
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look looks once, in every way, and tells what is new; the first way that fails counts.
func (w *watcher) look(ctx context.Context) error {
	ways := w.Ways()
	if len(ways) == 0 {
		ways = [][]string{nil}
	}
	var err error
	for _, options := range ways {
		if err = w.lookBy(ctx, options); err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // the end is nobody's failure
	}
	w.Observe(err == nil)
	w.tell(err)
	return err
}

func (w *watcher) lookBy(ctx context.Context, options []string) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := w.Look(ctx, options)
	if err != nil && len(options) > 0 {
		return fmt.Errorf("with mount options %s: %w", strings.Join(options, ","), err)
	}
	return err
}

// tell says what is new. What fails in other words than before is not: they may have a number in them that changes.
func (w *watcher) tell(err error) {
	switch {
	case err != nil:
		if w.failing && time.Since(w.told) < tellEvery {
			return
		}
		w.told = time.Now()
		w.Log.Warn("the default export does not work", "share", w.Export, "err", err)
		w.event(v1.EventTypeWarning, Fails, fmt.Sprintf("no volumes can be made on the default export %s: %v. Other exports are served. `nfs-csi check` tells more", w.Export, err))
	case w.failing:
		w.Log.Info("the default export works again", "share", w.Export)
		w.event(v1.EventTypeNormal, Works, fmt.Sprintf("volumes can be made on the default export %s again", w.Export))
	}
	w.failing = err != nil
}

func (w *watcher) event(kind, reason, text string) {
	if w.recorder != nil {
		w.recorder.Event(w.Pod, kind, reason, text)
	}
}
