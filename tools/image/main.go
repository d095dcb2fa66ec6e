// Command image writes the container image of nfs-csi as an OCI archive, without a container engine.
//
// It follows the repository's Dockerfile: the same "go build", the same file, user, entrypoint and labels. The archive is the same
// byte for byte whenever the sources, the version and the Go toolchain are the same. It can be loaded by `ctr images import`,
// `docker load`, `podman load` and `kind load image-archive`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

type options struct {
	root      string // the repository
	output    string // the archive to write
	name      string // the image's name, without a tag
	version   string // its tag and the version that the binary prints
	platforms string // comma-separated, such as linux/amd64,linux/arm64
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.root, "root", ".", "the repository")
	flags.StringVar(&o.output, "output", "", "the archive to write (required)")
	flags.StringVar(&o.name, "name", "ghcr.io/nfs-csi/nfs-csi", "the image's name without a tag")
	flags.StringVar(&o.version, "version", "", "tag of the image and version of the binary (default the chart's appVersion)")
	flags.StringVar(&o.platforms, "platforms", "linux/"+runtime.GOARCH, "comma-separated platforms")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.output == "" || flags.NArg() > 0 {
		return o, fmt.Errorf("usage: image -output FILE [-root DIR] [-name NAME] [-version VERSION] [-platforms LIST]")
	}
	if o.version == "" {
		version, err := appVersion(filepath.Join(o.root, "deploy", "charts", "nfs-csi", "Chart.yaml"))
		if err != nil {
			return o, err
		}
		o.version = version
	}
	return o, nil
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	created, err := creationTime(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(o.root, "Dockerfile"))
	if err != nil {
		return err
	}
	recipe, err := parseDockerfile(string(text), map[string]string{"VERSION": o.version})
	if err != nil {
		return fmt.Errorf("reading Dockerfile: %w", err)
	}
	images, err := buildAll(ctx, o, recipe, created, stderr)
	if err != nil {
		return err
	}
	if err := writeArchive(o.output, o.name, o.version, images); err != nil {
		return fmt.Errorf("writing %s: %w", o.output, err)
	}
	return report(stderr, o)
}

// buildAll makes an image for each platform.
func buildAll(ctx context.Context, o options, recipe recipe, created time.Time, stderr io.Writer) (images []v1.Image, err error) {
	dir, err := os.MkdirTemp("", "nfs-csi-image-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, name := range strings.Split(o.platforms, ",") {
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(stderr, "building nfs-csi %s for %s\n", o.version, platform)
		binary := filepath.Join(dir, platform.Architecture)
		if err := build(ctx, o.root, recipe, *platform, o.version, binary); err != nil {
			return nil, err
		}
		img, err := newImage(recipe, *platform, binary, created)
		if err != nil {
			return nil, fmt.Errorf("making the image for %s: %w", platform, err)
		}
		images = append(images, img)
	}
	return images, nil
}

func report(w io.Writer, o options) error {
	info, err := os.Stat(o.output)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s:%s is in %s (%.1f MB)\n", o.name, o.version, o.output, float64(info.Size())/1e6)
	return err
}

// creationTime is the time written into the image: what SOURCE_DATE_EPOCH says (seconds, https://reproducible-builds.org/specs/source-date-epoch),
// or 1970, because the time of the build would make every archive another one.
func creationTime(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q, it must be a number of seconds", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// appVersion reads the version from the chart, so that the image is the one that the chart asks for.
func appVersion(chart string) (string, error) {
	text, err := os.ReadFile(chart)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "appVersion:"); ok {
			return strings.Trim(strings.TrimSpace(value), `"'`), nil
		}
	}
	return "", fmt.Errorf("%s has no appVersion", chart)
}
