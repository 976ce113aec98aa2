package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/node"
)

type awsCmd struct {
	Account  string   `help:"Account to act in, 12 digits." default:"000000000000"`
	Region   string   `help:"Region; the one that is served if it is not given."`
	Endpoint string   `help:"Where the AWS API is; that of the run directory if it is not given." env:"ISTHMUS_ENDPOINT" placeholder:"URL"`
	Args     []string `arg:"" passthrough:"" help:"Arguments of the aws CLI."`
}

func (awsCmd) Help() string {
	return examples("Runs the aws CLI with the endpoint, credentials and region of this instance.",
		"isthmus aws ec2 describe-vpcs",
		"isthmus aws --account 111111111111 ec2 create-vpc --cidr-block 10.0.0.0/16",
		"isthmus aws apigatewayv2 get-vpc-links --query 'Items[].VpcLinkStatus'",
	)
}

// defaultEndpoint is where the AWS API is if nobody says otherwise.
const defaultEndpoint = "http://127.0.0.1:4566"

func (c *awsCmd) Run(env *Env, dir node.Dir) error {
	if err := checkAccount(c.Account); err != nil {
		return err
	}
	path, err := exec.LookPath("aws")
	if err != nil {
		return fmt.Errorf("find the aws CLI: %w (Debian and Ubuntu: apt-get install awscli)", err)
	}
	e := readEndpoints(dir)
	if c.Endpoint != "" {
		e.API = c.Endpoint
	}
	if c.Region != "" {
		e.Region = c.Region
	}
	args, err := programArgs(c.Args)
	if err != nil {
		return err
	}
	environ := awsEnv(env.Environ(), c.Account, e)
	if !endpointGiven(args) {
		args = append([]string{"--endpoint-url", e.API}, args...)
		environ = askAsProxy(environ, e.API)
	}
	if err := env.Exec(path, append([]string{"aws"}, args...), environ); err != nil {
		return fmt.Errorf("run the aws CLI: %w", err)
	}
	return nil
}

// endpointGiven says whether the arguments name an endpoint. If they don't,
// one is added, since the CLI takes it from the environment only from 2.13 on.
func endpointGiven(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return a == "--endpoint-url" || strings.HasPrefix(a, "--endpoint-url=")
	})
}

// askAsProxy has the CLI ask the endpoint as a proxy. For some operations it
// writes a prefix before the endpoint's host ("data-127.0.0.1"), and that name
// resolves nowhere.
func askAsProxy(environ []string, endpoint string) []string {
	if !strings.HasPrefix(endpoint, "http://") {
		return environ
	}
	kept := slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.EqualFold(name, "http_proxy") || strings.EqualFold(name, "no_proxy")
	})
	return append(kept, "http_proxy="+endpoint)
}

// awsEnv is an environment in which the CLI acts in the account, whatever the
// user's own settings are.
func awsEnv(environ []string, account string, e endpoints) []string {
	var kept []string
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case strings.HasPrefix(name, "AWS_ENDPOINT_URL"), slices.Contains([]string{
			"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ROLE_ARN",
			"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PAGER",
			"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
		}, name):
		default:
			kept = append(kept, v)
		}
	}
	return append(kept,
		"AWS_ACCESS_KEY_ID="+account, "AWS_SECRET_ACCESS_KEY=isthmus",
		"AWS_REGION="+e.Region, "AWS_DEFAULT_REGION="+e.Region,
		"AWS_ENDPOINT_URL="+e.API, "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true",
	)
}

// readEndpoints reads where the instance listens, or assumes the defaults.
func readEndpoints(dir node.Dir) endpoints {
	e := endpoints{API: defaultEndpoint, Region: "us-east-1"}
	if b, err := os.ReadFile(dir.Endpoints()); err == nil {
		var told endpoints
		if json.Unmarshal(b, &told) == nil && told.API != "" && told.Region != "" {
			e = told
		}
	}
	return e
}
