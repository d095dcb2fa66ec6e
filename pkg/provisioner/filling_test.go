package provisioner

import (
	"errors"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
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
	failure := func(text string) *v1.Event {
		return &v1.Event{InvolvedObject: v1.ObjectReference{UID: "a", Name: "claim"}, Type: v1.EventTypeWarning, Reason: "ProvisioningFailed",
			Message: `failed to provision volume with StorageClass "nfs": ` + text}
	}
	begin := &v1.Event{InvolvedObject: v1.ObjectReference{UID: "a"}, Reason: "Provisioning"}
	if f.event(begin) != begin {
		t.Error("the first look is not told")
	}
	other := failure("no room")
	if f.event(other) != other {
		t.Error("a failure is not told as it is")
	}
	progress := failure(fillingError(errors.New("copying: 1 %")).Error())
	told := f.event(progress)
	if told == nil || told.Type != v1.EventTypeNormal || told.Reason != fillingReason || told.Message != filling+"copying: 1 %" || progress.Type != v1.EventTypeWarning {
		t.Errorf("progress is told as %v", told)
	}
	if f.event(progress) != nil || f.event(begin) != nil {
		t.Error("a copy under way is told again at once")
	}
	now = now.Add(fillingEvery)
	if f.event(progress) == nil {
		t.Error("progress is told only once")
	}
	f.done("a")
	if f.event(begin) != begin {
		t.Error("what comes after the copy is not told")
	}
}
