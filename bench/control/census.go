package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/isthmus-net/isthmus/test/machine"
)

// census lists what links are made of: what the AWS API shows of it to the
// customers, and what the node has put in force.
func census(ctx context.Context, m *machine.Machine) (string, error) {
	var all []string
	for _, account := range []string{"111111111111", "222222222222"} {
		c := m.AWS(account).EC2
		services, err := c.DescribeVpcEndpointServiceConfigurations(ctx, &ec2.DescribeVpcEndpointServiceConfigurationsInput{})
		if err != nil {
			return "", err
		}
		for _, s := range services.ServiceConfigurations {
			all = append(all, account+" "+*s.ServiceId)
		}
		interfaces, err := c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{})
		if err != nil {
			return "", err
		}
		for _, i := range interfaces.NetworkInterfaces {
			all = append(all, account+" "+*i.NetworkInterfaceId)
		}
	}
	out, err := machine.Output(m.Isthmus(ctx, "status", "--json"))
	if err != nil {
		return "", err
	}
	var status struct {
		Interfaces []struct{ ID, Problem string }
		Links      []struct{ Kind, From, To string }
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return "", fmt.Errorf("read status: %w", err)
	}
	for _, i := range status.Interfaces {
		all = append(all, fmt.Sprint("node ", i))
	}
	for _, l := range status.Links {
		all = append(all, fmt.Sprint("node ", l))
	}
	slices.Sort(all)
	return strings.Join(all, "\n"), nil
}
