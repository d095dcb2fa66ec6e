// Command populator stands in for the two programs that the upstream storage suite installs to test volumes that are filled by
// somebody else than their driver (KEP-1495), and whose images can only be pulled.
//
// It is called as one of them: `populator hello-populator FLAGS` and `populator volume-data-source-validator FLAGS` know the flags
// that the suite's manifests give. Both look at every claim once a second, which is often enough for the few of a test cluster, and
// keep nothing in memory: each look goes on from what the API server says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	period  = time.Second
	timeout = 30 * time.Second // of one look
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "populator:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	programs := map[string]func(context.Context, *flag.FlagSet, []string, *slog.Logger) error{
		"hello-populator":              runPopulator,
		"volume-data-source-validator": runValidator,
	}
	if len(args) == 0 || programs[args[0]] == nil {
		return errors.New("usage: populator hello-populator|volume-data-source-validator FLAGS")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	return programs[args[0]](ctx, flags, args[1:], slog.New(slog.NewTextHandler(stderr, nil)))
}

func runPopulator(ctx context.Context, flags *flag.FlagSet, args []string, log *slog.Logger) error {
	var (
		mode      = flags.String("mode", "", "controller, or populate in the pods that the controller makes")
		image     = flags.String("image-name", "", "controller: the image of this program")
		namespace = flags.String("namespace", "hello", "controller: where volumes are filled")
		_         = flags.String("http-endpoint", "", "controller: not served, there are no metrics")
		name      = flags.String("file-name", "", "populate: the file to write in "+mountPath)
		contents  = flags.String("file-contents", "", "populate: what to write")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch *mode {
	case "populate":
		return populate(mountPath, *name, *contents)
	case "controller":
		client, objects, err := connect()
		if err != nil {
			return err
		}
		p := &populator{client: client, objects: objects, namespace: *namespace, image: *image, log: log}
		return repeat(ctx, log, p.look)
	}
	return fmt.Errorf("--mode is controller or populate, not %q", *mode)
}

func runValidator(ctx context.Context, flags *flag.FlagSet, args []string, log *slog.Logger) error {
	flags.Int("v", 0, "not used: all is logged")
	flags.Bool("leader-election", false, "not used: Events of two validators are the same object")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client, objects, err := connect()
	if err != nil {
		return err
	}
	v := &validator{client: client, objects: objects, log: log}
	return repeat(ctx, log, v.look)
}

// connect is for a pod with a service account.
func connect() (kubernetes.Interface, dynamic.Interface, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("looking for the API server: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("making a client: %w", err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("making a client for custom resources: %w", err)
	}
	return client, objects, nil
}

// repeat calls look until ctx ends. What fails is tried again.
func repeat(ctx context.Context, log *slog.Logger, look func(context.Context) error) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, timeout)
		err := look(bounded)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			log.Error("trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// The custom resources of the suite.
func helloKind() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "hello.example.com", Version: "v1alpha1", Resource: "hellos"}
}

func populatorKind() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "populator.storage.k8s.io", Version: "v1beta1", Resource: "volumepopulators"}
}
