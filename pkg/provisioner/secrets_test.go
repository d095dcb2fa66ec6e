package provisioner

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clienttesting "k8s.io/client-go/testing"
)

func newSecret(name, key, value string) *v1.Secret {
	return &v1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "storage", Name: name}, Data: map[string][]byte{key: []byte(value), "password": []byte("p")}}
}

// theirVolume is a PersistentVolume as csi-driver-nfs and external-provisioner leave it, released.
func theirVolume(secret string, mountOptions ...string) *v1.PersistentVolume {
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-old", Finalizers: []string{"kubernetes.io/pv-protection", finalizer}, Annotations: map[string]string{
			"pv.kubernetes.io/provisioned-by": testDriver, deletionSecretName: secret, deletionSecretNamespace: "storage",
		}},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: v1.PersistentVolumeReclaimDelete, StorageClassName: "gone", MountOptions: mountOptions,
			ClaimRef: &v1.ObjectReference{Namespace: "default", Name: "data", UID: "uid"},
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{
				Driver: testDriver, VolumeHandle: "srv#exports/k8s#pvc-old##archive",
				VolumeAttributes: map[string]string{"server": "srv", "share": "/exports/k8s", "subdir": "pvc-old", "onDelete": "archive"},
			}},
		},
		Status: v1.PersistentVolumeStatus{Phase: v1.VolumeReleased},
	}
	if secret == "" {
		delete(pv.Annotations, deletionSecretName)
	}
	return pv
}

// asked are the secrets that the API server was asked for.
func (c *cluster) asked() (names []string) {
	for _, a := range c.Actions() {
		if get, ok := a.(clienttesting.GetAction); ok && a.GetResource().Resource == "secrets" {
			names = append(names, get.GetName())
		}
	}
	return names
}

// What csi-driver-nfs made is deleted with its PersistentVolume's mount options, and with those of its class's secret where
// this driver is given that one and no other.
func TestDeleteVolumesOfCSIDriverNFS(t *testing.T) {
	for name, tt := range map[string]struct {
		pv    *v1.PersistentVolume
		given string
		want  string
		asked int
	}{
		"no secret":     {theirVolume("", "nfsvers=4.1"), "storage/mine", "nfsvers=4.1", 0},
		"given":         {theirVolume("mine", "nfsvers=4.1"), "storage/mine", "nfsvers=4.1,port=2050,hard", 1},
		"given alone":   {theirVolume("mine"), "storage/mine", "port=2050,hard", 1},
		"without a key": {theirVolume("empty", "hard"), "storage/empty", "hard", 1},
		"not given":     {theirVolume("mine", "nfsvers=4.1"), "storage/other", "nfsvers=4.1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			driver := &driverFake{}
			c := newCluster(tt.pv, newSecret("mine", "MountOptions", "port=2050,hard"), newSecret("empty", "x", "y"))
			secrets, err := ParseSecrets([]string{tt.given})
			if err != nil {
				t.Fatal(err)
			}
			run(t, c, driver, func(config *Config) { config.Secrets = secrets })
			await(t, "the deletion", func() bool { _, deleted := driver.requests(); return len(deleted) > 0 })
			_, deleted := driver.requests()
			if got := deleted[0].GetSecrets()[SecretMountOptions]; got != tt.want || deleted[0].GetVolumeId() != "srv#exports/k8s#pvc-old##archive" {
				t.Errorf("asked to delete %v", deleted[0])
			}
			if len(deleted[0].GetSecrets()) > 1 {
				t.Error("more of the secret was passed on than its mount options")
			}
			if asked := c.asked(); len(asked) < tt.asked || tt.asked == 0 && len(asked) > 0 {
				t.Errorf("asked for the secrets %q", asked)
			}
		})
	}
}

func TestSecretThatMayBeMissing(t *testing.T) {
	driver := &driverFake{remove: func(context.Context, *csi.DeleteVolumeRequest) error {
		return status.Error(codes.Unavailable, "nothing answers")
	}}
	c := newCluster(theirVolume("mine"))
	run(t, c, driver)
	message := c.event(t, "", "pvc-old", "VolumeFailedDelete")
	for _, want := range []string{"nothing answers", "Secret storage/mine", "driver.secrets"} {
		if !strings.Contains(message, want) {
			t.Errorf("the Event %q does not say %q", message, want)
		}
	}
}

func TestSecretThatIsGivenAndGone(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(theirVolume("mine"))
	secrets, _ := ParseSecrets([]string{"storage/mine"})
	run(t, c, driver, func(config *Config) { config.Secrets = secrets })
	if message := c.event(t, "", "pvc-old", "VolumeFailedDelete"); !strings.Contains(message, `secrets "mine" not found`) {
		t.Errorf("the Event is %q", message)
	}
	if _, deleted := driver.requests(); len(deleted) > 0 {
		t.Errorf("deleted all the same: %v", deleted)
	}
}

// The libraries' client shows a given secret's mount options and asks for no other secret.
func TestSecretsOfLibraries(t *testing.T) {
	c := newCluster(newSecret("mine", "mountoptions", "vers=3"), newSecret("theirs", "mountOptions", "vers=4"))
	secrets, err := ParseSecrets([]string{"storage/mine", "storage/absent"})
	if err != nil {
		t.Fatal(err)
	}
	client := secrets.Client(c)
	get := func(name string) (map[string][]byte, error) {
		s, err := client.CoreV1().Secrets("storage").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return s.Data, nil
	}
	if data, err := get("mine"); err != nil || len(data) != 1 || string(data[SecretMountOptions]) != "vers=3" {
		t.Errorf("the given one shows %q, %v", data, err)
	}
	if data, err := get("theirs"); err != nil || len(data) != 0 {
		t.Errorf("another shows %q, %v", data, err)
	}
	if _, err := get("absent"); err == nil {
		t.Error("one that is given and absent is empty")
	}
	if asked := c.asked(); !slices.Equal(asked, []string{"mine", "absent"}) {
		t.Errorf("asked for %q", asked)
	}
	if _, err := client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("anything else: %v", err)
	}
}

func TestParseSecretsRefuses(t *testing.T) {
	for _, bad := range []string{"", "name", "/name", "namespace/", "a/b/c"} {
		if _, err := ParseSecrets([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
