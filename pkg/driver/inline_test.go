package driver_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestParseInline(t *testing.T) {
	got, err := driver.ParseInline([]string{"nas.example", "192.0.2.1:/", "nas.example:/home/", "fd00::1", "[fd00::1]:/a/b"})
	want := driver.Inline{
		{Server: "nas.example", Share: "/"}, {Server: "192.0.2.1", Share: "/"}, {Server: "nas.example", Share: "/home"},
		{Server: "fd00::1", Share: "/"}, {Server: "fd00::1", Share: "/a/b"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = driver.ParseInline([]string{"", "nas:", "nas:/a/../b", "*", "nas:/ok"})
	for _, entry := range []string{`server ""`, `"nas:"`, `"nas:/a/../b"`, `"*"`} {
		if err == nil || !strings.Contains(err.Error(), entry) {
			t.Errorf("%v does not name %s", err, entry)
		}
	}
}

// kubeletHandle is of the form that kubelet gives inline volumes.
var kubeletHandle = "csi-" + strings.Repeat("0123456789abcdef", 4)

func inlineRequest(attributes map[string]string, flags ...string) *csi.NodePublishVolumeRequest {
	r := publishRequest(kubeletHandle, "/target")
	r.VolumeCapability = capability(anyMode, flags...)
	r.VolumeContext = map[string]string{"csi.storage.k8s.io/ephemeral": "true", "server": "nas.example", "share": "/home"}
	maps.Copy(r.VolumeContext, attributes)
	return r
}

func TestInlineVolume(t *testing.T) {
	f := newFixtureWith(t, driver.Calls{}, volume.Location{Server: "nas.example", Share: "/home"}, volume.Location{Server: "open.example", Share: "/"})
	for name, c := range map[string]struct {
		attributes map[string]string
		path       string
		options    []string
	}{
		"the share":       {nil, "/home", []string{"vers=4"}},
		"below it":        {map[string]string{"subDir": "team/a"}, "/home/team/a", []string{"vers=4"}},
		"a share below":   {map[string]string{"share": "/home/team"}, "/home/team", []string{"vers=4"}},
		"any share":       {map[string]string{"server": "OPEN.example", "share": "/x"}, "/x", []string{"vers=4"}},
		"with options":    {map[string]string{"mountOptions": "vers=4.1,noexec"}, "/home", []string{"vers=4.1", "noexec"}},
		"version by word": {map[string]string{"mountOptions": "v4.2"}, "/home", []string{"v4.2"}},
		"foreign fields":  {map[string]string{"csi.storage.k8s.io/pod.name": "web-0"}, "/home", []string{"vers=4"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := f.NodePublishVolume(t.Context(), inlineRequest(c.attributes)); err != nil {
				t.Fatal(err)
			}
			got := f.mounter.Mounts()["/target"]
			if want := append(c.options, "nosuid", "nodev"); got.Path != c.path || !got.Literal || !reflect.DeepEqual(got.Options, want) {
				t.Errorf("mounted %+v with %q, want %s with %q", got.Path, got.Options, c.path, want)
			}
			if _, err := f.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: kubeletHandle, TargetPath: "/target"}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestInlineVolumeIsRefused(t *testing.T) {
	off, on := newFixture(t), newFixtureWith(t, driver.Calls{}, volume.Location{Server: "nas.example", Share: "/home"})
	for name, c := range map[string]struct {
		f       fixture
		request *csi.NodePublishVolumeRequest
		words   string
	}{
		"no list":             {off, inlineRequest(nil), "inline volumes are not allowed"},
		"another server":      {on, inlineRequest(map[string]string{"server": "evil.example"}), "evil.example:/home is not among the exports"},
		"another share":       {on, inlineRequest(map[string]string{"share": "/homes"}), "nas.example:/homes is not among"},
		"the share above":     {on, inlineRequest(map[string]string{"share": "/"}), "nas.example:/ is not among"},
		"out of the share":    {on, inlineRequest(map[string]string{"subDir": "../etc"}), `".."`},
		"dots in the share":   {on, inlineRequest(map[string]string{"share": "/home/../etc"}), `".."`},
		"our records":         {on, inlineRequest(map[string]string{"subDir": ".nfs-csi/volumes"}), "reserved"},
		"our records above":   {on, inlineRequest(map[string]string{"share": "/home/.NFS-csi"}), "belongs to this driver"},
		"deeper records":      {on, inlineRequest(map[string]string{"subDir": "k8s/.nfs-csi"}), "reserved"},
		"mode":                {on, inlineRequest(map[string]string{"mountPermissions": "0777"}), "cannot set mode and owner"},
		"owner":               {on, inlineRequest(map[string]string{"uid": "0"}), "cannot set mode and owner"},
		"another address":     {on, inlineRequest(map[string]string{"mountOptions": "hard,addr=192.0.2.66"}), `the mount option "addr"`},
		"the same, by flags":  {on, inlineRequest(nil, "addr=192.0.2.66"), `the mount option "addr"`},
		"another port":        {on, inlineRequest(map[string]string{"mountOptions": "port=99"}), `the mount option "port"`},
		"version 3":           {on, inlineRequest(map[string]string{"mountOptions": "vers=3"}), `mounted with NFSv4: remove the mount option "vers"`},
		"version 3 by word":   {on, inlineRequest(map[string]string{"mountOptions": "v3"}), `"v3"`},
		"version 3, older":    {on, inlineRequest(nil, "hard,nfsvers=3"), `mounted with NFSv4: remove the mount option "nfsvers"`},
		"version 3 in quotes": {on, inlineRequest(map[string]string{"mountOptions": `vers="3"`}), `mounted with NFSv4`},
		"version 3, a space":  {on, inlineRequest(map[string]string{"mountOptions": "vers=3 ,hard"}), `mounted with NFSv4`},
		"suid":                {on, inlineRequest(map[string]string{"mountOptions": "suid"}), `"suid"`},
		"without the mark": {on, with(inlineRequest(map[string]string{"server": "evil.example"}), func(r *csi.NodePublishVolumeRequest) {
			delete(r.VolumeContext, "csi.storage.k8s.io/ephemeral")
		}), "evil.example:/home is not among the exports"},
		"with another mark": {on, inlineRequest(map[string]string{"server": "evil.example", "csi.storage.k8s.io/ephemeral": "false"}), "evil.example"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.f.NodePublishVolume(t.Context(), c.request)
			expect(t, err, codes.InvalidArgument, c.words)
			if m := c.f.mounter.Mounts(); len(m) != 0 {
				t.Errorf("mounted %v", m)
			}
		})
	}
}
