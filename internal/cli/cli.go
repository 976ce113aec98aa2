// Package cli is the command isthmus: what its arguments mean. The main
// function is a function of its environment.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/isthmus-net/isthmus/internal/node"
)

// Env is what a command works with.
type Env struct {
	Args           []string // without the program's name
	Stdin          *os.File
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Environ        func() []string
	// Exec replaces the process by another program.
	Exec func(path string, args, env []string) error
}

// commands are all there are.
type commands struct {
	RunDir string `name:"run-dir" help:"Directory of the instance's sockets and namespaces." default:"/run/isthmus" env:"ISTHMUS_RUN_DIR"`

	Serve  serveCmd  `cmd:"" help:"Run Isthmus on this machine."`
	Run    runCmd    `cmd:"" help:"Run a program on a network interface of its own."`
	Exec   execCmd   `cmd:"" help:"Run a command in the namespace of a network interface."`
	Attach attachCmd `cmd:"" help:"Put a network interface into a namespace or container that exists."`
	AWS    awsCmd    `cmd:"" name:"aws" help:"Run the aws CLI against this instance."`
	CA     caCmd     `cmd:"" name:"ca" help:"Print the certificate of the local authority."`
	Trace  traceCmd  `cmd:"" help:"Explain what becomes of a packet."`
	Show   showCmd   `cmd:"" help:"Draw what exists, in the terminal or as SVG."`
	Status statusCmd `cmd:"" help:"Show processes, network interfaces, links, flows and drops."`
	Down   downCmd   `cmd:"" help:"Stop Isthmus and remove everything that it made."`

	Version versionCmd `cmd:"" help:"Print the version."`

	Control controlCmd `cmd:"" hidden:"" help:"The control process. isthmus serve runs it."`
	Gateway gatewayCmd `cmd:"" hidden:"" help:"The gateway process. isthmus serve runs it."`
	ALB     albCmd     `cmd:"" name:"alb" hidden:"" help:"A node of an Application Load Balancer. isthmus serve runs it."`
	Health  healthCmd  `cmd:"" hidden:"" help:"The health checker. isthmus serve runs it."`
	DNS     dnsCmd     `cmd:"" hidden:"" name:"dns" help:"The resolver of VPCs. isthmus serve runs it."`
	BGP     bgpCmd     `cmd:"" hidden:"" name:"bgp" help:"The process that speaks BGP. isthmus serve runs it."`
}

// exitCode ends a command with a status and without a message.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Main runs a command and returns the exit status: 0, that of the program that
// was run, 2 for wrong arguments, 1 for any other failure.
func Main(ctx context.Context, env Env) int {
	var c commands
	done := false
	status := 0
	parser, err := kong.New(&c,
		kong.Name("isthmus"),
		kong.Description("VPC links for private networks: the AWS API in front, real packets behind."),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { done, status = true, code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&env),
	)
	if err != nil {
		fmt.Fprintln(env.Stderr, "isthmus:", err)
		return 1
	}
	args := env.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if done { // help was printed
		return status
	}
	if err != nil {
		fmt.Fprintf(env.Stderr, "isthmus: %v\n", err)
		command := "isthmus"
		var failed *kong.ParseError
		if errors.As(err, &failed) && failed.Context.Selected() != nil {
			command += " " + failed.Context.Selected().Name
		}
		fmt.Fprintf(env.Stderr, "Try: %s --help\n", command)
		return 2
	}
	if c.RunDir, err = filepath.Abs(c.RunDir); err == nil {
		err = parsed.Run(node.Dir(c.RunDir))
	}
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(env.Stderr, "isthmus:", err)
	if advice := advise(err, c.RunDir); advice != "" {
		fmt.Fprintln(env.Stderr, advice)
	}
	return 1
}

// advise says what to do about an error, if that is known.
func advise(err error, runDir string) string {
	switch {
	case errors.Is(err, node.ErrNotRunning):
		return fmt.Sprintf("Start it with: isthmus serve (the run directory is %s; --run-dir names another)", runDir)
	case errors.Is(err, node.ErrLocked):
		return fmt.Sprintf("The run directory is %s. A second instance needs its own --run-dir and --data-dir.", runDir)
	case errors.Is(err, os.ErrPermission) && os.Geteuid() != 0:
		return "Isthmus's commands on namespaces are for root: try again with sudo."
	}
	return ""
}

// examples makes the help text of a command out of one line on what it does
// and its examples.
func examples(text string, lines ...string) string {
	return text + "\n\nExamples:\n\n    " + strings.Join(lines, "\n    ")
}

type versionCmd struct{}

func (versionCmd) Help() string {
	return examples("Prints the version and the commit.", "isthmus version")
}

func (versionCmd) Run(env *Env) error {
	_, err := fmt.Fprintln(env.Stdout, version())
	return err
}

// version names the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "isthmus (unknown build)"
	}
	v := "isthmus " + info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v
}
