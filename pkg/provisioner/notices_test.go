package provisioner

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
)

// However many claims meet a parameter that has no effect: one of them and the class say so, and again when these Events are gone.
func TestIgnoredParametersAreToldOnce(t *testing.T) {
	recorder := record.NewFakeRecorder(100)
	now := time.Now()
	n := newNotices(quiet())
	n.recorder, n.now = recorder, func() time.Time { return now }
	class := oldClass("old", nil)
	tell := func(class *storage.StorageClass, parameters ...string) (events []string) {
		n.ignored(t.Context(), class, newClaim("data", class.Name, oldName), parameters)
		for len(recorder.Events) > 0 {
			events = append(events, <-recorder.Events)
		}
		return events
	}
	if got := tell(class); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
	if got := tell(class, "pathpattern", "zebra"); len(got) != 2 || !strings.Contains(got[0], `Warning ParametersIgnored StorageClass old: without effect`) ||
		!strings.Contains(got[1], `"pathpattern", "zebra". In its classes`) {
		t.Errorf("first: %q", got)
	}
	if got := tell(class, "pathpattern", "zebra"); len(got) != 0 {
		t.Errorf("for the next claim: %q", got)
	}
	again := class.DeepCopy()
	again.UID = "made-anew"
	if got := tell(again, "zebra"); len(got) != 2 {
		t.Errorf("of the class that was made anew: %q", got)
	}
	if got := tell(oldClass("other", nil), "a", "b", "c", "d", "e", "f", "g"); len(got) != 2 || !strings.Contains(got[0], `"e" and 2 more.`) {
		t.Errorf("of another class: %q", got)
	}
	now = now.Add(noticeEvery)
	if got := tell(class, "zebra"); len(got) != 2 || len(n.told) != 1 {
		t.Errorf("an hour later: %q, and it remembers %v", got, n.told)
	}
}

// The Events reach the API server, with the class and with the claim.
func TestIgnoredParametersReachTheUser(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(oldClass("old", map[string]string{"archiveondelete": "false"}))
	run(t, c, driver, subdir)
	for i := range 5 {
		c.claim(t, newClaim(fmt.Sprint("data-", i), "old", oldName))
	}
	for i := range 5 {
		c.volume(t, fmt.Sprint("pvc-uid-data-", i))
	}
	if said := c.event(t, "", "old", "ParametersIgnored"); !strings.Contains(said, `"archiveondelete"`) || !strings.Contains(said, "archiveOnDelete") {
		t.Errorf("the class says %q", said)
	}
	onClaims := func() (told []v1.Event) {
		list, err := c.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.Reason == "ParametersIgnored" && e.InvolvedObject.Kind == "PersistentVolumeClaim" {
				told = append(told, e)
			}
		}
		return told
	}
	await(t, "an Event on a claim", func() bool { return len(onClaims()) > 0 })
	if told := onClaims(); len(told) != 1 || told[0].Type != v1.EventTypeWarning || told[0].Count != 1 {
		t.Errorf("claims say %+v", told)
	}
}
