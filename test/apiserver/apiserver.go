// Package apiserver is a Kubernetes API server in memory, over HTTP, as far as persistent volumes need one: finalizers, preconditions,
// dry runs, and what Kubernetes' own controllers do with claims and volumes. It is for programs that bring their own client.
package apiserver

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Fault is what becomes of a request.
type Fault int

// A request is done, or fails without effect, or has its effect and fails all the same, or comes second to another.
const (
	None Fault = iota
	Before
	After
	Conflict
)

// Server answers until its test ends.
type Server struct {
	t    testing.TB
	http *httptest.Server

	mu      sync.Mutex
	objects map[string]object // by path
	version int
	fault   func(method, path string) Fault
	wrong   []string
}

// object is any object as JSON has it.
type object = map[string]any

// Start runs a server that has these objects, with their status.
func Start(t testing.TB, objects ...runtime.Object) *Server {
	s := &Server{t: t, objects: map[string]object{}}
	s.http = httptest.NewServer(s)
	t.Cleanup(s.http.Close)
	s.Add(objects...)
	return s
}

// Config is for clients of the server.
func (s *Server) Config() *rest.Config { return &rest.Config{Host: s.http.URL, QPS: 1000, Burst: 1000} }

// Client is one.
func (s *Server) Client() kubernetes.Interface {
	c, err := kubernetes.NewForConfig(s.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// WriteKubeconfig makes a file that leads here.
func (s *Server) WriteKubeconfig(file string) {
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
		"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{}}]}`, s.http.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Break asks f about every request from now on; nil: all are done.
func (s *Server) Break(f func(method, path string) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Wrong lists what would have cost somebody's data: volumes with the reclaim policy Delete that went.
func (s *Server) Wrong() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

// Add puts objects there as they are.
func (s *Server) Add(objects ...runtime.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, typed := range objects {
		kinds, _, err := scheme.Scheme.ObjectKinds(typed)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range resources {
			if r.kind == kinds[0].Kind {
				o := plain(s.t, typed)
				s.put(r, path(r, text(o, "metadata", "namespace"), text(o, "metadata", "name")), o)
			}
		}
	}
	s.settle()
}

// AddYAML is Add for documents in YAML.
func (s *Server) AddYAML(text string) error {
	var objects []runtime.Object
	for document := range strings.SplitSeq(text, "\n---\n") {
		typed, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(document), nil, nil)
		if err != nil {
			return err
		}
		objects = append(objects, typed)
	}
	s.Add(objects...)
	return nil
}

func plain(t testing.TB, typed any) object {
	data, err := json.Marshal(typed)
	o := object{}
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// ServeHTTP is the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the client has gone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := None
	if s.fault != nil {
		fault = s.fault(request.Method, request.URL.Path)
	}
	code, answer := http.StatusInternalServerError, failure("InternalError", http.StatusInternalServerError, "the API server is away")
	switch fault {
	case Conflict:
		code, answer = refuse("Conflict", http.StatusConflict, "somebody else was first")
	case None, After:
		c, a := s.serve(request, body)
		if fault == None {
			code, answer = c, a
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Server) serve(request *http.Request, body []byte) (code int, answer object) {
	r, namespace, name, known := find(request.URL.Path)
	if !known {
		return refuse("NotFound", http.StatusNotFound, "there is no "+request.URL.Path)
	}
	at := path(r, namespace, name)
	found, there := s.objects[at]
	switch {
	case request.Method == http.MethodGet && name == "":
		return s.list(r, namespace, request.URL.Query().Get("labelSelector"))
	case request.Method == http.MethodPost:
		return s.create(r, namespace, body, request.URL.Query().Get("dryRun") != "")
	case !there:
		return refuse("NotFound", http.StatusNotFound, fmt.Sprintf("%s %q not found", r.name, name))
	case request.Method == http.MethodGet:
		return http.StatusOK, found
	case request.Method == http.MethodPatch:
		return s.patch(r, at, found, body)
	case request.Method == http.MethodDelete:
		return s.delete(at, found, body)
	}
	return refuse("MethodNotAllowed", http.StatusMethodNotAllowed, request.Method)
}

func (s *Server) list(r resource, namespace, selector string) (int, object) {
	chosen, err := labels.Parse(selector)
	if err != nil {
		return refuse("BadRequest", http.StatusBadRequest, err.Error())
	}
	items := []any{}
	for _, at := range sorted(s.objects) {
		o := s.objects[at]
		if !strings.HasPrefix(at, r.prefix) || text(o, "kind") != r.kind || namespace != "" && text(o, "metadata", "namespace") != namespace {
			continue
		}
		set := labels.Set{}
		for k, v := range inside(o, "metadata", "labels") {
			set[k] = fmt.Sprint(v)
		}
		if chosen.Matches(set) {
			items = append(items, o)
		}
	}
	return http.StatusOK, object{"kind": r.kind + "List", "apiVersion": r.group, "metadata": object{"resourceVersion": fmt.Sprint(s.version)}, "items": items}
}

func (s *Server) create(r resource, namespace string, body []byte, dry bool) (int, object) {
	o, err := decode(body)
	if err != nil {
		return refuse("BadRequest", http.StatusBadRequest, err.Error())
	}
	at := path(r, namespace, text(o, "metadata", "name"))
	if _, taken := s.objects[at]; taken {
		return refuse("AlreadyExists", http.StatusConflict, fmt.Sprintf("%s %q already exists", r.name, text(o, "metadata", "name")))
	}
	if namespace != "" {
		inside(o, "metadata")["namespace"] = namespace
		if _, there := s.objects[path(kindOf("Namespace"), "", namespace)]; !there {
			return refuse("NotFound", http.StatusNotFound, fmt.Sprintf("namespaces %q not found", namespace))
		}
	}
	delete(o, "status")
	metadata := inside(o, "metadata")
	delete(metadata, "uid")
	if r.kind == "PersistentVolume" {
		finalizers, _ := metadata["finalizers"].([]any)
		metadata["finalizers"] = append(finalizers, protection)
	}
	if dry {
		return http.StatusCreated, o
	}
	s.put(r, at, o)
	s.settle()
	return http.StatusCreated, o
}

func (s *Server) patch(r resource, at string, found object, body []byte) (int, object) {
	var change object
	if err := json.Unmarshal(body, &change); err != nil {
		return refuse("BadRequest", http.StatusBadRequest, "only merge patches are understood: "+err.Error())
	}
	for _, key := range []string{"resourceVersion", "uid"} {
		if want := text(change, "metadata", key); want != "" && want != text(found, "metadata", key) {
			return refuse("Conflict", http.StatusConflict, key+" has changed")
		}
	}
	now := merge(found, change).(object)
	if r.kind == "PersistentVolume" && (fmt.Sprint(inside(found, "spec")["csi"]) != fmt.Sprint(inside(now, "spec")["csi"]) || fmt.Sprint(inside(found, "spec")["nfs"]) != fmt.Sprint(inside(now, "spec")["nfs"])) {
		return refuse("Invalid", http.StatusUnprocessableEntity, "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation")
	}
	s.put(r, at, now)
	s.settle()
	return http.StatusOK, now
}

func (s *Server) delete(at string, found object, body []byte) (int, object) {
	var o object
	if len(body) > 0 {
		var err error
		if o, err = decode(body); err != nil {
			return refuse("BadRequest", http.StatusBadRequest, err.Error())
		}
	}
	for _, key := range []string{"resourceVersion", "uid"} {
		if want := text(o, "preconditions", key); want != "" && want != text(found, "metadata", key) {
			return refuse("Conflict", http.StatusConflict, "the "+key+" in the precondition does not match")
		}
	}
	if text(found, "spec", "persistentVolumeReclaimPolicy") == "Delete" {
		s.wrong = append(s.wrong, "deleted with reclaim policy Delete: "+at)
	}
	s.touch(at, found)
	inside(found, "metadata")["deletionTimestamp"] = "2026-11-20T12:00:00Z"
	s.settle()
	return http.StatusOK, found
}

// put saves a copy.
func (s *Server) put(r resource, at string, o object) {
	o["kind"], o["apiVersion"] = r.kind, r.group
	metadata := inside(o, "metadata")
	if metadata["uid"] == nil {
		metadata["uid"] = fmt.Sprintf("uid-%d", s.version)
	}
	s.touch(at, o)
}

func (s *Server) touch(at string, o object) {
	s.version++
	inside(o, "metadata")["resourceVersion"] = fmt.Sprint(s.version)
	s.objects[at] = o
}

func failure(reason string, code int, message string) object {
	return object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": message}
}

func refuse(reason string, code int, message string) (int, object) {
	return code, failure(reason, code, message)
}

// decode reads JSON, or the API's protobuf.
func decode(body []byte) (object, error) {
	o := object{}
	if json.Unmarshal(body, &o) == nil {
		return o, nil
	}
	typed, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(typed)
	if err != nil {
		return nil, err
	}
	return o, json.Unmarshal(data, &o)
}
