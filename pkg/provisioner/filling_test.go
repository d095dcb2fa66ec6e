package provisioner

import (
	"errors"
	"fmt"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
)

func TestFillingsPace(t *testing.T) {
	f := newFillings(backOff())
	f.rest("a", time.Minute)
	for range 3 {
		if d := f.When("a"); d != time.Minute {
			t.Errorf("a claim being filled waits %v", d)
		}
	}
	if first, second := f.When("b"), f.When("b"); first != backOffFirst || second != 2*backOffFirst {
		t.Errorf("another claim waits %v, then %v", first, second)
	}
	f.Forget("a")
	if d := f.When("a"); d != backOffFirst {
		t.Errorf("a claim that was filled waits %v", d)
	}
}

func TestFillingsEvents(t *testing.T) {
	now := time.Unix(1000, 0)
	f := newFillings(backOff())
	f.now = func() time.Time { return now }
	event := func(reason, text string) *v1.Event {
		return &v1.Event{InvolvedObject: v1.ObjectReference{UID: "a"}, Reason: reason, Message: text}
	}
	begin, other := event("Provisioning", "it begins"), event("ProvisioningFailed", "no room")
	progress := event("ProvisioningFailed", `failed to provision volume with StorageClass "nfs": `+fillingError(errors.New("copying: 1 %")).Error())
	if !f.worth(begin) || !f.worth(other) {
		t.Error("the first look or its failure is not told")
	}
	if !f.due("a") || f.due("a") || !f.due("b") {
		t.Error("progress is not told, or twice at once")
	}
	if f.worth(progress) || f.worth(begin) || f.worth(event(succeededReason, "done")) || !f.worth(other) {
		t.Error("a copy under way is told by the library, or what is wrong with it is not")
	}
	now = now.Add(fillingEvery)
	if !f.due("a") {
		t.Error("progress is told only once")
	}
	f.done("a")
	if !f.worth(begin) {
		t.Error("what comes after the copy is not told")
	}
}

// stepClock is a clock that stands until it is set.
type stepClock struct{ now time.Time }

func (c *stepClock) Now() time.Time                  { return c.now }
func (c *stepClock) Since(t time.Time) time.Duration { return c.now.Sub(t) }

// Of a copy that takes a day every word is sent, the last one too.
func TestLongCopyIsToldToItsEnd(t *testing.T) {
	clock := &stepClock{time.Unix(1000, 0)}
	options := noticed()
	options.Clock = clock
	correlator := record.NewEventCorrelatorWithOptions(options)
	send := func(reason, text string) {
		t.Helper()
		e := &v1.Event{InvolvedObject: v1.ObjectReference{UID: "a"}, Reason: reason, Message: text, FirstTimestamp: metav1.NewTime(clock.now), Count: 1}
		sent, err := correlator.EventCorrelate(e)
		if err != nil || sent.Skip || sent.Event.Message != text {
			t.Fatalf("at %v: sent %+v, %v", clock.now, sent, err)
		}
		correlator.UpdateState(sent.Event)
	}
	for minute := range 24 * 60 {
		send(fillingReason, fmt.Sprint("copying: file ", minute))
		clock.now = clock.now.Add(fillingEvery)
	}
	send(succeededReason, "done")
}
