package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path"
	"strconv"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// clusterBench measures what users of a cluster see. The system's namespace is that of the release.
type clusterBench struct {
	api               kubernetes.Interface
	class, system     string
	driver, kubelet   string
	image, benchImage string
	node              string // where its pods run
	namespace         string
}

func clusterCommand(ctx context.Context, args []string) error {
	var b clusterBench
	f := flag.NewFlagSet("cluster", flag.ContinueOnError)
	f.StringVar(&b.class, "class", "nfs", "StorageClass of the claims")
	f.StringVar(&b.system, "namespace", "nfs-csi", "namespace of the release")
	f.StringVar(&b.driver, "driver", "nfs-csi.github.io", "name of the CSI driver")
	f.StringVar(&b.kubelet, "kubelet-dir", "/var/lib/kubelet", "kubelet's directory on the nodes")
	f.StringVar(&b.image, "image", "nfs-csi.test/busybox:1", "image of the measured pods")
	f.StringVar(&b.benchImage, "bench-image", "nfs-csi.test/bench:1", "image of this program, for publishing on a node")
	if err := f.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 1000, 1000
	if b.api, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	return b.run(ctx, &table{out: os.Stdout})
}

func (b *clusterBench) run(ctx context.Context, t *table) (err error) {
	made, err := b.api.CoreV1().Namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{GenerateName: "bench-"}}, meta.CreateOptions{})
	if err != nil {
		return err
	}
	b.namespace = made.Name
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if e := b.api.CoreV1().Namespaces().Delete(ctx, b.namespace, meta.DeleteOptions{}); err == nil {
			err = e
		}
	}()
	nodes, err := b.api.CoreV1().Nodes().List(ctx, meta.ListOptions{})
	if err != nil || len(nodes.Items) == 0 {
		return fmt.Errorf("finding a node: %w", err)
	}
	b.node = nodes.Items[0].Name
	for _, part := range []func(context.Context, *table) error{b.memory, b.oneByOne, b.hundred, b.pods, b.publishing} {
		if err := part(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (b *clusterBench) claim(ctx context.Context, name string) error {
	_, err := b.api.CoreV1().PersistentVolumeClaims(b.namespace).Create(ctx, &core.PersistentVolumeClaim{
		ObjectMeta: meta.ObjectMeta{Name: name},
		Spec: core.PersistentVolumeClaimSpec{
			StorageClassName: &b.class,
			AccessModes:      []core.PersistentVolumeAccessMode{core.ReadWriteMany},
			Resources:        core.VolumeResourceRequirements{Requests: core.ResourceList{core.ResourceStorage: resource.MustParse("1Mi")}},
		},
	}, meta.CreateOptions{})
	return err
}

// bound watches the namespace and sends the names of claims as they become Bound, until ctx ends. A watch that the API
// server ends is begun again, and tells of all claims that there are.
func (b *clusterBench) bound(ctx context.Context) (<-chan string, error) {
	w, err := b.api.CoreV1().PersistentVolumeClaims(b.namespace).Watch(ctx, meta.ListOptions{})
	if err != nil {
		return nil, err
	}
	names := make(chan string, 1000)
	go func() {
		defer close(names)
		for err == nil {
			for e := range w.ResultChan() {
				c, ok := e.Object.(*core.PersistentVolumeClaim)
				if ok && c.Status.Phase == core.ClaimBound && c.DeletionTimestamp == nil {
					names <- c.Name
				}
			}
			w.Stop()
			w, err = b.api.CoreV1().PersistentVolumeClaims(b.namespace).Watch(ctx, meta.ListOptions{})
		}
	}()
	return names, nil
}

func (b *clusterBench) oneByOne(ctx context.Context, t *table) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	names, err := b.bound(ctx)
	if err != nil {
		return err
	}
	var times []time.Duration
	for i := range 21 {
		name := "one-" + strconv.Itoa(i)
		start := time.Now()
		if err := b.claim(ctx, name); err != nil {
			return err
		}
		for got := range names {
			if got == name {
				break
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("claim %s did not become Bound: %w", name, ctx.Err())
		}
		times = append(times, time.Since(start))
	}
	t.row("claim to Bound, one at a time", spread(times[1:]), "p50 under 150 ms")
	return nil
}

func (b *clusterBench) hundred(ctx context.Context, t *table) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	names, err := b.bound(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	_, creating, err := together(100, 16, func(i int) error { return b.claim(ctx, "hundred-"+strconv.Itoa(i)) })
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for name := range names {
		if len(name) > 8 && name[:8] == "hundred-" {
			seen[name] = true
		}
		if len(seen) == 100 {
			break
		}
	}
	if len(seen) < 100 {
		return fmt.Errorf("%d of 100 claims became Bound: %w", len(seen), ctx.Err())
	}
	t.row("100 claims, all Bound", fmt.Sprintf("%s (making them: %s)", seconds(time.Since(start)), seconds(creating)), "under 3 s")
	return nil
}

// pods times pods without and with a bound claim, in turn, each from its creation to Running.
func (b *clusterBench) pods(ctx context.Context, t *table) error {
	var without, with []time.Duration
	for i := range 6 {
		for _, claim := range []string{"", "one-0"} {
			d, err := b.pod(ctx, fmt.Sprintf("pod-%d%s", i, claim), claim)
			if err != nil {
				return err
			}
			switch {
			case i == 0: // the first of each kind is a warm-up
			case claim == "":
				without = append(without, d)
			default:
				with = append(with, d)
			}
		}
	}
	t.row("pod without a volume to Running", spread(without), "")
	t.row("pod with a bound claim to Running", spread(with), "")
	t.row("  what the volume adds to the median", ms(p50(with)-p50(without)), "under 300 ms")
	return nil
}

func (b *clusterBench) pod(ctx context.Context, name, claim string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	p := b.podNamed(name, core.Container{Name: "c", Image: b.image, Command: []string{"sleep", "1000000"}})
	if claim != "" {
		p.Spec.Containers[0].VolumeMounts = []core.VolumeMount{{Name: "data", MountPath: "/data"}}
		p.Spec.Volumes = []core.Volume{{Name: "data", VolumeSource: core.VolumeSource{
			PersistentVolumeClaim: &core.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
	}
	start := time.Now()
	if _, err := b.api.CoreV1().Pods(b.namespace).Create(ctx, p, meta.CreateOptions{}); err != nil {
		return 0, err
	}
	if err := b.phase(ctx, name, core.PodRunning); err != nil {
		return 0, err
	}
	took := time.Since(start)
	zero := int64(0)
	return took, b.api.CoreV1().Pods(b.namespace).Delete(ctx, name, meta.DeleteOptions{GracePeriodSeconds: &zero})
}

func (b *clusterBench) podNamed(name string, c core.Container) *core.Pod {
	zero := int64(0)
	return &core.Pod{ObjectMeta: meta.ObjectMeta{Name: name}, Spec: core.PodSpec{
		NodeName: b.node, RestartPolicy: core.RestartPolicyNever, TerminationGracePeriodSeconds: &zero, Containers: []core.Container{c}}}
}

// phase waits until a pod is in this phase; in Failed it never will be.
func (b *clusterBench) phase(ctx context.Context, name string, want core.PodPhase) error {
	w, err := b.api.CoreV1().Pods(b.namespace).Watch(ctx, meta.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
	if err != nil {
		return err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		p, ok := e.Object.(*core.Pod)
		switch {
		case !ok:
		case p.Status.Phase == want:
			return nil
		case p.Status.Phase == core.PodFailed:
			return fmt.Errorf("pod %s failed", name)
		}
	}
	return fmt.Errorf("pod %s did not become %s: %w", name, want, ctx.Err())
}

// plugin is the directory of the node's socket.
func (b *clusterBench) plugin() string { return path.Join(b.kubelet, "plugins", b.driver) }
