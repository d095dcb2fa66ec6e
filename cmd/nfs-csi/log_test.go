package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/grpclog"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestLibrariesLogLikeUs(t *testing.T) {
	var out bytes.Buffer
	o := logOptions{format: "json", verbosity: 4}
	log, err := o.logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("ours")
	klog.V(1).InfoS("kubernetes", "claim", "default/data")
	klog.V(2).InfoS("too much")
	klog.Background().WithName("named").WithValues("key", "value").Info("structured")
	grpclog.Warningf("transport %s", "broke")
	grpclog.Info("grpc's own")
	var seen []string
	for line := range strings.Lines(out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		seen = append(seen, fields["msg"].(string))
		if fields["msg"] == "structured" && fields["key"] != "value" {
			t.Errorf("values are lost: %s", line)
		}
	}
	if got := strings.Join(seen, ","); got != "ours,kubernetes,structured,grpc,grpc" {
		t.Errorf("logged %s", got)
	}
}

func TestVerbosityZeroIsQuiet(t *testing.T) {
	var out bytes.Buffer
	o := logOptions{format: "text"}
	log, err := o.logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("no")
	klog.InfoS("no")
	grpclog.Info("no")
	if out.Len() > 0 {
		t.Errorf("logged %s", out.String())
	}
	klog.ErrorS(nil, "yes")
	if !strings.Contains(out.String(), "yes") {
		t.Error("an error is lost")
	}
}

// What the libraries call an error when a call to the driver failed, the call's own line has said.
func TestRepeatedFailuresAreQuiet(t *testing.T) {
	var out bytes.Buffer
	o := logOptions{format: "text", verbosity: 2}
	if _, err := o.logger(&out); err != nil {
		t.Fatal(err)
	}
	utilruntime.HandleError(errors.New(`error syncing claim "uid": failed to provision volume`))
	klog.ErrorS(errors.New("resize volume failed"), "Error syncing PVC")
	klog.Errorf("could not sync content %q: %v", "c", "copying")
	if out.Len() > 0 {
		t.Errorf("logged %s", out.String())
	}
	utilruntime.HandleError(errors.New("no space for the heap"))
	if !strings.Contains(out.String(), "no space for the heap") {
		t.Error("another error is lost")
	}
}
