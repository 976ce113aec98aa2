package machine

import (
	"errors"
	"net"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/directconnect"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Region is the region that tests use.
const Region = "us-east-1"

// AWS is one account's clients.
type AWS struct {
	Account string
	EC2     *ec2.Client
	ELB     *elbv2.Client
	REST    *apigateway.Client
	HTTP    *apigatewayv2.Client
	Map     *servicediscovery.Client
	Direct  *directconnect.Client
	ACM     *acm.Client
	STS     *sts.Client
}

// ownFaults repeats one thing, up to three times: a call whose connection the client itself has
// closed while it read the answer. On a busy machine net/http's goroutine that
// writes may end a connection, of which the other one has got a response's header
// already; it is known as issue 2737 of aws-sdk-go-v2. The SDK's own retryer, in
// whose place this is, has repeated such calls since (pull request 2949).
var ownFaults = retry.NewStandard(func(o *retry.StandardOptions) {
	o.MaxAttempts = 4
	o.RateLimiter = ratelimit.None
	o.Retryables = []retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		return aws.BoolTernary(errors.Is(err, net.ErrClosed))
	})}
})

// AWS returns clients that act as an account. What the service does wrong is not
// retried: an error is an error.
func (m *Machine) AWS(account string) AWS {
	c := aws.Config{
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider(account, "secret", ""),
		BaseEndpoint: aws.String("http://" + APIAddress),
		HTTPClient:   m.Client(),
		Retryer:      func() aws.Retryer { return ownFaults },
	}
	return AWS{
		Account: account,
		EC2:     ec2.NewFromConfig(c),
		ELB:     elbv2.NewFromConfig(c),
		REST:    apigateway.NewFromConfig(c),
		HTTP:    apigatewayv2.NewFromConfig(c),
		Map:     servicediscovery.NewFromConfig(c),
		Direct:  directconnect.NewFromConfig(c),
		ACM:     acm.NewFromConfig(c),
		STS:     sts.NewFromConfig(c),
	}
}
