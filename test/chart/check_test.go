package chart_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
)

// checks returns the pods of `helm test`.
func checks(t *testing.T, values string) []*corev1.Pod {
	t.Helper()
	return only[*corev1.Pod](objects(t, values))
}

// What `helm test` runs may do no more than the controller, and gets no token.
func TestTheCheckIsRestricted(t *testing.T) {
	for _, name := range []string{"default", "everything"} {
		pod := one[*corev1.Pod](t, objects(t, values(t, name)))
		if got := forbidden(t, api.LevelRestricted, corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}); len(got) > 0 {
			t.Errorf("%s: it is not restricted because of %q", name, got)
		}
		if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken || pod.Spec.RestartPolicy != corev1.RestartPolicyNever {
			t.Errorf("%s: %+v", name, pod.Spec)
		}
		if pod.Annotations["helm.sh/hook"] != "test" {
			t.Errorf("%s: annotations %v", name, pod.Annotations)
		}
	}
}

// It looks at the default export, in the way of the first class that uses it.
func TestWhatIsChecked(t *testing.T) {
	for values, want := range map[string][]string{
		"nfs: {server: nfs.example.com, share: /exports}": {"check", "nfs.example.com:/exports"},
		"nfs: {server: '2001:db8::1', share: /}":          {"check", "[2001:db8::1]:/"},
		"nfs: {server: s, share: /e}\ntls: {secretName: t}\nstorageClasses: [{name: a, create: false, mountOptions: [hard]}, {name: b, parameters: {server: o, share: /o}, mountOptions: [soft]}, {name: c, mountOptions: [vers=4.1, xprtsec=tls]}]": {
			"check", "s:/e", "--options=vers=4.1", "--options=xprtsec=tls", "--tls-ca=/tls/ca.crt"},
		"nfs: {server: s, share: /e}\nprovisionerNames: ['old/two=o:/o']\nstorageClasses: [{name: a, provisioner: old/two, mountOptions: [soft]}, {name: b, mountOptions: [hard]}]": {
			"check", "s:/e", "--options=hard"},
	} {
		pods := checks(t, values)
		if len(pods) != 1 || !slices.Equal(pods[0].Spec.Containers[0].Args, want) {
			t.Errorf("%s: %+v, want the arguments %q", values, pods, want)
		}
	}
	if pods := checks(t, "{}"); len(pods) > 0 {
		t.Errorf("there is no default export, and a check: %v", pods)
	}
}
