//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rule is one rule of RBAC, as roles and reviews have it.
type rule struct{ Verbs, APIGroups, Resources, ResourceNames []string }

// each is a line for every single thing that the rule allows.
func (r rule) each() (lines []string) {
	names := r.ResourceNames
	if len(names) == 0 {
		names = []string{"*"}
	}
	for _, verb := range r.Verbs {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, name := range names {
					lines = append(lines, fmt.Sprintf("%s %s/%s %s", verb, group, resource, name))
				}
			}
		}
	}
	return lines
}

// allowed is what the API server lets a service account of the release do in a namespace.
func (c cluster) allowed(account, namespace string) []string {
	c.t.Helper()
	out, err := c.pipe(fmt.Sprintf(`{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": %q}}`, namespace),
		"create", "--validate=false", "-o", "json", "--as=system:serviceaccount:"+c.system+":"+account, "-f", "-")
	if err != nil {
		c.t.Fatal(err)
	}
	var review struct {
		Status struct{ ResourceRules []rule }
	}
	if err := json.Unmarshal([]byte(out), &review); err != nil {
		c.t.Fatal(err)
	}
	var all []string
	for _, r := range review.Status.ResourceRules {
		all = append(all, r.each()...)
	}
	return unique(all)
}

func unique(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// committed is what the roles of deploy/rbac allow: the ClusterRoles, or all of them.
func (c cluster) committed(kinds ...string) []string {
	c.t.Helper()
	path := os.Getenv("E2E_RBAC")
	if path == "" {
		c.t.Fatal("E2E_RBAC is not set: it names deploy/rbac/rbac.yaml")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := c.pipe(string(text), "create", "--dry-run=client", "-o", "json", "-f", "-")
	if err != nil {
		c.t.Fatal(err)
	}
	var all []string
	for objects := json.NewDecoder(strings.NewReader(out)); ; {
		var role struct {
			Kind  string
			Rules []rule
		}
		if err := objects.Decode(&role); errors.Is(err, io.EOF) {
			return unique(all)
		} else if err != nil {
			c.t.Fatal(err)
		}
		for _, r := range role.Rules {
			if slices.Contains(kinds, role.Kind) {
				all = append(all, r.each()...)
			}
		}
	}
}

// The controller may do what deploy/rbac says and nothing else, the node no more than any account; nobody may read secrets.
func TestPermissions(t *testing.T) {
	t.Parallel()
	c := connect(t)
	const controller, node, anybody = "nfs-csi-controller", "nfs-csi-node", "default"
	for namespace, kinds := range map[string][]string{"default": {"ClusterRole"}, c.system: {"ClusterRole", "Role"}} {
		basic := c.allowed(anybody, namespace)
		want := unique(append(c.committed(kinds...), basic...))
		for _, line := range differences("permission", c.allowed(controller, namespace), want) {
			t.Errorf("controller in %s: %s", namespace, line)
		}
		for _, line := range differences("permission", c.allowed(node, namespace), basic) {
			t.Errorf("node in %s: %s", namespace, line)
		}
		if len(want) <= len(basic) {
			t.Errorf("deploy/rbac has no rules of %v", kinds)
		}
	}
	for _, account := range []string{controller, node} {
		for _, verb := range []string{"get", "list", "watch"} {
			out, err := c.try("auth", "can-i", verb, "secrets", "--all-namespaces", "--as=system:serviceaccount:"+c.system+":"+account)
			if err == nil || strings.TrimSpace(out) != "no" {
				t.Errorf("may %s %s secrets? %q, %v", account, verb, out, err)
			}
		}
	}
}

// No process of the driver can write to its root.
func TestReadOnlyRoots(t *testing.T) {
	t.Parallel()
	c := connect(t)
	pods := c.podsOf(c.system, "app.kubernetes.io/name=nfs-csi,app.kubernetes.io/component in (controller, node)") // helm test has one, too
	for _, p := range pods {
		out := c.on(p.Spec.NodeName, `for p in $(grep -sl nfs-csi /proc/[0-9]*/cmdline | cut -d/ -f3); do
grep -qs -e `+p.Metadata.UID+` -e `+strings.ReplaceAll(p.Metadata.UID, "-", "_")+` /proc/$p/cgroup && touch /proc/$p/root/probe 2>&1; done; true`)
		if !strings.Contains(out, "Read-only file system") {
			t.Errorf("%s: writing to its root says %q", p.Metadata.Name, out)
		}
	}
	if len(pods) < 2 {
		t.Errorf("the driver has the pods %v", pods)
	}
}

// denial is how the API server says no to an account that lacks a rule.
var denial = regexp.MustCompile(`(?i)user \\?"system:serviceaccount:[^"]*" cannot \w+ resource.*`)

// noneDenied is an error if the logs of the controllers say that a rule is missing. A container that is just starting has none yet.
func (e environment) noneDenied() error {
	var logs string
	err := poll(goneDeadline, func() (err error) {
		ctx, cancel := contextFor(commandDeadline)
		defer cancel()
		logs, err = e.run(ctx, "", "-n", e.system, "logs", "-l", "app.kubernetes.io/component=controller", "--tail=-1", "--prefix")
		return err
	})
	if found := denial.FindString(logs); err == nil && found != "" {
		err = fmt.Errorf("the controller lacks a permission: %s", found)
	}
	return err
}
