package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// A recipe is what an image of one file needs to know of the Dockerfile.
type recipe struct {
	Build      string            // the shell command that compiles, writing to Built
	Built      string            // where the binary is in the build stage
	Installed  string            // where it is in the image, absolute
	User       string            // user and group, numeric
	Entrypoint []string          // argv
	Labels     map[string]string // of the image
}

// parseDockerfile reads a recipe from the one shape of Dockerfile that this repository uses: stages that compile, and a last one that
// is FROM scratch with ARG, LABEL, COPY --from of one file, USER and ENTRYPOINT. Anything else there is an error, so that the
// archive cannot silently differ from what the Dockerfile says.
func parseDockerfile(text string, args map[string]string) (recipe, error) {
	var r recipe
	var base string
	var errs []error
	for _, line := range instructions(text) {
		keyword, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch {
		case keyword == "FROM":
			base = rest
		case base != "scratch":
			if keyword == "RUN" && strings.Contains(rest, "go build ") {
				r.Build = rest
			}
		default:
			errs = append(errs, r.instruction(keyword, rest, args))
		}
	}
	if base != "scratch" {
		errs = append(errs, errors.New("the last stage is not FROM scratch"))
	}
	return r, errors.Join(append(errs, r.complete())...)
}

// instructions are the lines that are not comments, with continued ones joined.
func instructions(text string) []string {
	var all []string
	var current strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if part, ok := strings.CutSuffix(line, `\`); ok {
			current.WriteString(part)
			continue
		}
		current.WriteString(line)
		all = append(all, current.String())
		current.Reset()
	}
	return all
}

func (r *recipe) instruction(keyword, rest string, args map[string]string) error {
	switch keyword {
	case "ARG":
		name, _, _ := strings.Cut(rest, "=")
		if _, ok := args[name]; !ok {
			return fmt.Errorf("ARG %s has no value here", name)
		}
		return nil
	case "LABEL":
		return r.label(rest, args)
	case "COPY":
		return r.copy(rest)
	case "USER":
		r.User = rest
		return nil
	case "ENTRYPOINT":
		if err := json.Unmarshal([]byte(rest), &r.Entrypoint); err != nil {
			return fmt.Errorf("ENTRYPOINT must be a JSON list: %w", err)
		}
		return nil
	}
	return fmt.Errorf("%s is not understood in the last stage", keyword)
}

func (r *recipe) label(rest string, args map[string]string) error {
	pair := regexp.MustCompile(`([^\s="]+)="([^"]*)"`)
	if left := strings.TrimSpace(pair.ReplaceAllString(rest, "")); left != "" {
		return fmt.Errorf("LABEL must be pairs of key=\"value\", not %q", left)
	}
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	for _, match := range pair.FindAllStringSubmatch(rest, -1) {
		r.Labels[match[1]] = os.Expand(match[2], func(name string) string { return args[name] })
	}
	return nil
}

func (r *recipe) copy(rest string) error {
	words := strings.Fields(rest)
	if len(words) != 3 || !strings.HasPrefix(words[0], "--from=") || r.Installed != "" {
		return fmt.Errorf("COPY must be one file from the build stage, not %q", rest)
	}
	r.Built, r.Installed = words[1], words[2]
	return nil
}

func (r *recipe) complete() error {
	switch {
	case r.Build == "":
		return errors.New("no RUN has a \"go build\"")
	case r.Installed == "" || r.User == "" || len(r.Entrypoint) == 0:
		return errors.New("the last stage needs COPY, USER and ENTRYPOINT")
	case !strings.Contains(r.Build, "-o "+r.Built+" "):
		return fmt.Errorf("the \"go build\" does not write %s, which COPY takes", r.Built)
	}
	return nil
}
