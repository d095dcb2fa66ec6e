package apiserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// resource is one kind of objects.
type resource struct {
	name, kind, group string
	prefix            string // of paths
	namespaced        bool
}

var resources = []resource{
	{"persistentvolumes", "PersistentVolume", "v1", "/api/v1/", false},
	{"persistentvolumeclaims", "PersistentVolumeClaim", "v1", "/api/v1/", true},
	{"pods", "Pod", "v1", "/api/v1/", true},
	{"configmaps", "ConfigMap", "v1", "/api/v1/", true},
	{"namespaces", "Namespace", "v1", "/api/v1/", false},
	{"storageclasses", "StorageClass", "storage.k8s.io/v1", "/apis/storage.k8s.io/v1/", false},
	{"csidrivers", "CSIDriver", "storage.k8s.io/v1", "/apis/storage.k8s.io/v1/", false},
	{"deployments", "Deployment", "apps/v1", "/apis/apps/v1/", true},
}

func kindOf(kind string) resource {
	return resources[slices.IndexFunc(resources, func(r resource) bool { return r.kind == kind })]
}

func path(r resource, namespace, name string) string {
	if r.namespaced {
		return r.prefix + "namespaces/" + namespace + "/" + r.name + "/" + name
	}
	return r.prefix + r.name + "/" + name
}

// find reads a request's path.
func find(p string) (r resource, namespace, name string, ok bool) {
	for _, r := range resources {
		rest, ok := strings.CutPrefix(p, r.prefix)
		if !ok {
			continue
		}
		parts := strings.Split(rest, "/")
		if r.namespaced && len(parts) > 2 && parts[0] == "namespaces" {
			namespace, parts = parts[1], parts[2:]
		}
		if parts[0] != r.name || len(parts) > 2 {
			namespace = ""
			continue
		}
		if len(parts) == 2 {
			name = parts[1]
		}
		return r, namespace, name, true
	}
	return resource{}, "", "", false
}

// protection is the finalizer that keeps a volume while it is bound.
const protection = "kubernetes.io/pv-protection"

// settle does what Kubernetes' controllers do, until there is nothing to do.
func (s *Server) settle() {
	for changed := true; changed; {
		changed = false
		for _, at := range sorted(s.objects) {
			o := s.objects[at]
			switch text(o, "kind") {
			case "PersistentVolume":
				changed = s.volume(at, o) || changed
			case "PersistentVolumeClaim":
				changed = s.claim(at, o) || changed
			}
			finalizers, _ := inside(o, "metadata")["finalizers"].([]any)
			if text(o, "metadata", "deletionTimestamp") != "" && len(finalizers) == 0 {
				delete(s.objects, at)
				changed = true
			}
		}
	}
}

// volume binds, releases, and lets go of a volume that is deleted.
func (s *Server) volume(at string, pv object) bool {
	ref := inside(pv, "spec", "claimRef")
	claim := s.objects[path(kindOf("PersistentVolumeClaim"), text(ref, "namespace"), text(ref, "name"))]
	phase := "Available"
	switch {
	case len(ref) == 0:
	case claim != nil && text(ref, "uid") == "" && text(claim, "spec", "volumeName") == text(pv, "metadata", "name"):
		ref["uid"] = text(claim, "metadata", "uid")
		phase = "Bound"
	case claim != nil && text(ref, "uid") == text(claim, "metadata", "uid"):
		phase = "Bound"
	case text(ref, "uid") != "":
		phase = "Released"
	}
	if phase == "Released" && text(pv, "spec", "persistentVolumeReclaimPolicy") == "Delete" && text(pv, "status", "phase") != "Released" {
		s.wrong = append(s.wrong, "released with reclaim policy Delete: "+at)
	}
	changed := s.phase(at, pv, phase)
	if text(pv, "metadata", "deletionTimestamp") != "" && phase != "Bound" {
		finalizers, _ := inside(pv, "metadata")["finalizers"].([]any)
		if i := slices.Index(finalizers, any(protection)); i >= 0 {
			inside(pv, "metadata")["finalizers"] = slices.Delete(slices.Clone(finalizers), i, i+1)
			s.touch(at, pv)
			changed = true
		}
	}
	return changed
}

// claim is lost without its volume, and bound again with it.
func (s *Server) claim(at string, claim object) bool {
	name := text(claim, "spec", "volumeName")
	if name == "" {
		return false
	}
	phase := "Pending"
	pv := s.objects[path(kindOf("PersistentVolume"), "", name)]
	switch {
	case pv == nil && text(claim, "status", "phase") != "Pending":
		phase = "Lost"
	case pv != nil && text(pv, "spec", "claimRef", "uid") == text(claim, "metadata", "uid"):
		phase = "Bound"
	}
	return s.phase(at, claim, phase)
}

func (s *Server) phase(at string, o object, phase string) bool {
	if text(o, "status", "phase") == phase {
		return false
	}
	status := inside(o, "status")
	status["phase"] = phase
	o["status"] = status
	s.touch(at, o)
	return true
}

// merge is a JSON merge patch (RFC 7386) that leaves its arguments as they are.
func merge(old, change any) any {
	patch, ok := change.(object)
	if !ok {
		return change
	}
	o, _ := old.(object)
	now := maps.Clone(o)
	if now == nil {
		now = object{}
	}
	for k, v := range patch {
		if v == nil {
			delete(now, k)
			continue
		}
		now[k] = merge(now[k], v)
	}
	return now
}

// inside is an object in an object, empty and on its own if there is none.
func inside(o object, keys ...string) object {
	for _, k := range keys {
		next, ok := o[k].(object)
		if !ok {
			return object{}
		}
		o = next
	}
	return o
}

func text(o object, keys ...string) string {
	v := inside(o, keys[:len(keys)-1]...)[keys[len(keys)-1]]
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func sorted(objects map[string]object) []string { return slices.Sorted(maps.Keys(objects)) }
