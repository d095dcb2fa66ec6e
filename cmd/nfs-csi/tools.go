package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// pluginName is what kubectl looks for when somebody types "kubectl nfs".
const pluginName = "kubectl-nfs"

// commandOf is the program by the name that it was started as: all of it, or what kubectl's plugin offers.
func commandOf(name string) *cobra.Command {
	if strings.TrimSuffix(filepath.Base(name), ".exe") == pluginName {
		return pluginCommand()
	}
	return rootCommand()
}

// toolCommands are what a person runs, on a laptop or in a pod.
func toolCommands() []*cobra.Command {
	return []*cobra.Command{checkCommand(), lsCommand(), gcCommand(), migrateCommand(), importCommand()}
}

// pluginCommand is the program as kubectl's plugin.
func pluginCommand() *cobra.Command {
	root := &cobra.Command{
		Use:         pluginName,
		Short:       "See and keep in order the volumes of nfs-csi",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl nfs"},
		Args:        noArguments, RunE: showHelp,
	}
	root.AddCommand(append(toolCommands(), versionCommand())...)
	return root
}

// clusterFlags say which cluster a tool asks, with kubectl's flags and by kubectl's rules: the file of --kubeconfig, those of
// KUBECONFIG, ~/.kube/config, and then the cluster of the pod that we are.
type clusterFlags struct {
	kubeconfig, context, namespace string
}

func (c *clusterFlags) add(f *pflag.FlagSet) {
	c.addWay(f)
	f.StringVarP(&c.namespace, "namespace", "n", "", "namespace to look at (default: all)")
}

// addWay is add for tools that look at no namespace alone.
func (c *clusterFlags) addWay(f *pflag.FlagSet) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "file that says how to reach the API server (default: as kubectl finds one, or the pod's)")
	f.StringVar(&c.context, "context", "", "context of the kubeconfig to use")
}

var errNoKubeconfig = errors.New("no cluster is configured: name one with --kubeconfig or KUBECONFIG")

// config is how the API server is reached; [errNoKubeconfig] where nothing says so.
func (c *clusterFlags) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.context})
	config, err := loader.ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, errNoKubeconfig
	case err != nil:
		return nil, fmt.Errorf("reading how to reach the API server: %w", err)
	}
	return ours(config), nil
}

// suggest completes a flag's value in the shell.
func suggest[T ~string](c *cobra.Command, flag string, words ...T) {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(texts, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that there is not
}
