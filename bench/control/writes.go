package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/bench/internal/report"
	"github.com/isthmus-net/isthmus/test/machine"
)

// endpoint is a server of the AWS API, and a VPC in it to write to.
type endpoint struct {
	name string
	ec2  *ec2.Client
	vpc  string
}

// write is something that a client does time and again; it leaves no more
// behind than it found.
type write struct {
	name  string
	calls int64
	do    func(ctx context.Context, e *endpoint, client int, n int64) error
}

// writes measures calls per second that change something, on our AWS API and,
// where it is installed, on moto_server's. The clients have one CPU, each
// server the others.
func writes(ctx context.Context, m *machine.Machine, r *report.Report, p plan) (err error) {
	ours, err := processes(m)
	if err != nil {
		return err
	}
	endpoints := []*endpoint{newEndpoint(m, report.Ours, machine.APIAddress)}
	moto, err := startMoto(ctx, m)
	if err != nil {
		return err
	}
	if moto == nil {
		fmt.Fprintln(os.Stderr, "bench/control: moto_server is not installed: writes per second are without a peer")
	} else {
		defer moto.stop()
		endpoints = append(endpoints, newEndpoint(m, "moto", motoAddress))
		ours = append(ours, process{"moto", moto.cmd.Process.Pid})
	}
	if err := divide(ours); err != nil {
		return err
	}
	for _, e := range endpoints {
		vpc, err := e.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.9.0.0/16")})
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		e.vpc = *vpc.Vpc.VpcId
	}
	for range p.writes {
		for _, w := range []write{{"tags", 1, tag}, {"groups", 3, group}} {
			for _, clients := range []int{1, 16} {
				for _, e := range endpoints {
					rate, err := w.rate(ctx, e, clients, p.duration)
					if err != nil {
						return fmt.Errorf("%s: %w", e.name, err)
					}
					r.Add(fmt.Sprintf("%s-%d", w.name, clients), e.name, "writes_per_s", "1/s", rate)
				}
			}
		}
	}
	return nil
}

func newEndpoint(m *machine.Machine, name, address string) *endpoint {
	return &endpoint{name: name, ec2: ec2.NewFromConfig(aws.Config{
		Region:       machine.Region,
		Credentials:  credentials.NewStaticCredentialsProvider("333333333333", "secret", ""),
		BaseEndpoint: aws.String("http://" + address),
		HTTPClient:   m.Client(),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	})}
}

// divide gives the clients, which are this process, the first CPU, and the
// servers all others.
func divide(servers []process) error {
	var allowed, first, others unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return err
	}
	for cpu := range len(allowed) * 64 {
		switch {
		case !allowed.IsSet(cpu):
		case first.Count() == 0:
			first.Set(cpu)
		default:
			others.Set(cpu)
		}
	}
	if others.Count() == 0 {
		return nil // they have to share
	}
	for _, s := range servers {
		if err := pin(s.pid, others); err != nil {
			return err
		}
	}
	return pin(os.Getpid(), first)
}

// rate is the number of calls per second that a number of clients get
// answered.
func (w write) rate(ctx context.Context, e *endpoint, clients int, duration time.Duration) (float64, error) {
	var done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	begin := time.Now()
	for client := range clients {
		group.Go(func() error {
			for n := int64(0); time.Since(begin) < duration; n++ {
				if err := w.do(ctx, e, client, n); err != nil {
					return err
				}
				done.Add(w.calls)
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(done.Load()) / time.Since(begin).Seconds(), err
}

// tag changes a tag of the VPC, of which every client has one of its own.
func tag(ctx context.Context, e *endpoint, client int, n int64) error {
	_, err := e.ec2.CreateTags(ctx, &ec2.CreateTagsInput{
		Resources: []string{e.vpc},
		Tags:      []types.Tag{{Key: aws.String(fmt.Sprint("client", client)), Value: aws.String(fmt.Sprint(n))}},
	})
	return err
}

// group makes a security group, gives it a rule, and deletes it.
func group(ctx context.Context, e *endpoint, client int, n int64) error {
	made, err := e.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(fmt.Sprintf("group-%d-%d", client, n)), Description: aws.String("a group"), VpcId: &e.vpc,
	})
	if err != nil {
		return err
	}
	if _, err := e.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: made.GroupId,
		IpPermissions: []types.IpPermission{{
			IpProtocol: aws.String("tcp"), FromPort: aws.Int32(80), ToPort: aws.Int32(80),
			IpRanges: []types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}},
		}},
	}); err != nil {
		return err
	}
	_, err = e.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: made.GroupId})
	return err
}
