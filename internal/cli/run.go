package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/node"
)

type runCmd struct {
	Subnet        string     `help:"Subnet of the network interface; with --link, of one of the link's." placeholder:"subnet-…"`
	Link          string     `help:"Version 2 VPC link: the program runs outside every VPC, and its connections go through the link." placeholder:"ID"`
	SecurityGroup []string   `help:"Security group of the network interface, may be repeated; the VPC's default if there is none." placeholder:"sg-…"`
	PrivateIP     netip.Addr `name:"private-ip" help:"Private address; chosen if it is not given." placeholder:"IP"`
	Account       string     `help:"Account that owns subnet or link, 12 digits." default:"000000000000"`
	Region        string     `help:"Region of the subnet; the one that is served if it is not given."`
	User          string     `help:"User to run the program as, name or number." default:"nobody"`
	Name          string     `help:"Value of the tag Name." placeholder:"TEXT"`
	Program       []string   `arg:"" passthrough:"" help:"The program and its arguments."`
}

func (runCmd) Help() string {
	return examples(`Makes a network interface in a subnet, and runs a program in a namespace that has
no other network. Instance and network interface end with the program. The
program is run as a user without privileges; it may listen on any port. Names it
looks up are answered by the VPC's resolver.

With --link the program is in no VPC, as functions are: what it connects to, it
reaches as one of the link's network interfaces, under the link's security
groups. Nothing reaches the program. The link can't be deleted meanwhile.`,
		"isthmus run --subnet subnet-0a1b --security-group sg-0c2d -- python3 -m http.server 80",
		"isthmus run --subnet subnet-0a1b --private-ip 10.0.1.10 --name web -- nginx -c /srv/nginx.conf",
		"isthmus run --subnet subnet-0a1b --user root -- tcpdump -ni eth0",
		"isthmus run --link a1b2c3 -- curl -s http://10.0.1.10/",
		"isthmus run --link a1b2c3 --subnet subnet-0a1b --account 111111111111 -- python3 report.py",
	)
}

// Validate is called by package kong.
func (c *runCmd) Validate() error {
	switch {
	case c.Subnet == "" && c.Link == "":
		return errors.New("one of --subnet and --link is needed")
	case c.Link != "" && (len(c.SecurityGroup) > 0 || c.PrivateIP.IsValid()):
		return errors.New("with --link, security groups and address are the link's")
	}
	return nil
}

func (c *runCmd) Run(ctx context.Context, env *Env, dir node.Dir) error {
	if err := checkAccount(c.Account); err != nil {
		return err
	}
	args, err := programArgs(c.Program)
	if err != nil {
		return err
	}
	region := c.Region
	if region == "" {
		region = readEndpoints(dir).Region
	}
	var made node.RunResult
	conn, err := node.Call(ctx, dir.Socket(), "run", node.RunParams{
		Account: c.Account, Region: region, Subnet: c.Subnet, Groups: c.SecurityGroup,
		Address: c.PrivateIP, Name: c.Name, Link: c.Link,
	}, &made)
	if err != nil {
		return err
	}
	defer conn.Release()
	ns, err := netns.FromFile(conn.Files[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "isthmus: %s %s %s\n", made.Instance, made.Interface, made.Address)
	return program{args: args, user: c.User, ns: ns, resolver: made.Resolver}.run(env)
}

type execCmd struct {
	User      string   `help:"User to run the command as, name or number; else with all privileges."`
	Interface string   `arg:"" help:"Network interface (eni-…), or gateway, health, dns or bgp for those of Isthmus's own processes."`
	Program   []string `arg:"" passthrough:"" help:"The command and its arguments."`
}

func (execCmd) Help() string {
	return examples("Runs a command in the namespace of a network interface, to look around in it.",
		"isthmus exec eni-0a1b -- ip address",
		"isthmus exec eni-0a1b --user nobody -- curl -s http://10.0.1.10/",
		"isthmus exec gateway -- ss -tn",
	)
}

func (c *execCmd) Run(ctx context.Context, env *Env, dir node.Dir) error {
	args, err := programArgs(c.Program)
	if err != nil {
		return err
	}
	var at node.ExecResult
	conn, err := node.Call(ctx, dir.Socket(), "exec", node.ExecParams{Interface: c.Interface}, &at)
	if err != nil {
		return err
	}
	defer conn.Close()
	ns, err := netns.FromFile(conn.Files[0])
	if err != nil {
		return err
	}
	return program{args: args, user: c.User, ns: ns, resolver: at.Resolver}.run(env)
}

type attachCmd struct {
	Interface string `arg:"" help:"Network interface (eni-…), or a virtual interface (dxvif-…) of Direct Connect."`
	Netns     string `help:"Path of the namespace, such as /run/netns/NAME." xor:"where" placeholder:"PATH"`
	PID       int    `name:"pid" help:"A process whose namespace it is, such as a container's." xor:"where" placeholder:"N"`
	Detach    bool   `help:"Take the network interface out again." xor:"where"`
}

func (attachCmd) Help() string {
	return examples(`Puts a network interface into a namespace that exists, beside the devices that
are there. In a namespace that has a default route only what is for the VPC goes
by way of the network interface. Of a virtual interface it is the customer's end
that is put there, with the customer's address and no routes: the namespace is
the customer's router, and speaks BGP.`,
		"isthmus attach eni-0a1b --netns /run/netns/web",
		"isthmus attach eni-0a1b --pid $(docker inspect -f '{{.State.Pid}}' web)",
		"isthmus attach dxvif-0a1b --netns /run/netns/router",
		"isthmus attach eni-0a1b --detach",
	)
}

func (c *attachCmd) Run(ctx context.Context, env *Env, dir node.Dir) error {
	p := node.AttachParams{Interface: c.Interface, Detach: c.Detach}
	switch {
	case c.PID > 0:
		p.Netns = "/proc/" + strconv.Itoa(c.PID) + "/ns/net"
	case c.Netns != "":
		path, err := filepath.Abs(c.Netns)
		if err != nil {
			return err
		}
		p.Netns = path
	case !c.Detach:
		return errors.New("attach: one of --netns, --pid and --detach is needed")
	}
	var made node.AttachResult
	conn, err := node.Call(ctx, dir.Socket(), "attach", p, &made)
	if err != nil {
		return err
	}
	conn.Close()
	if c.Detach {
		fmt.Fprintf(env.Stderr, "isthmus: %s detached\n", made.Interface)
	} else {
		fmt.Fprintf(env.Stderr, "isthmus: %s attached, address %s\n", made.Interface, made.Address)
		if made.Resolver.IsValid() {
			fmt.Fprintf(env.Stderr, "isthmus: names of the VPC are answered at %s (nameserver in the resolv.conf of what runs there)\n", made.Resolver)
		}
	}
	return nil
}

// programArgs drops the separator before a program's arguments.
func programArgs(args []string) ([]string, error) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return nil, errors.New("no program is named: put it after --")
	}
	return args, nil
}

func checkAccount(account string) error {
	if len(account) == 12 {
		if _, err := strconv.ParseUint(account, 10, 64); err == nil {
			return nil
		}
	}
	return fmt.Errorf("account %q is not 12 digits", account)
}
