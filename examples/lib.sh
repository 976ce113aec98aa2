# What the examples share. `make example-NAME` runs one against an Isthmus of
# its own; started by hand, it works with the one of this machine.
set -euo pipefail
export AWS_DEFAULT_OUTPUT=text
# The command of `make build`, unless there is another one already.
type -P isthmus >/dev/null || PATH=$(cd "$(dirname "${BASH_SOURCE[0]}")/../bin" && pwd):$PATH
PATH=$PATH:/usr/sbin:/sbin

work=$(mktemp -d)
chmod 755 "$work"
namespaces=() # names of network namespaces that an example has made
leave() { # draws what was built, if wanted, stops the programs, and removes the rest
	local code=$? programs namespace
	if [[ $code -eq 0 && -n ${DRAW:-} ]]; then
		say "What has been built"
		isthmus show || code=$?
	fi
	programs=$(jobs -p)
	[[ -z $programs ]] || kill $programs 2>/dev/null || true
	wait
	for namespace in "${namespaces[@]}"; do ip netns delete "$namespace" || true; done
	rm -rf "$work"
	exit "$code"
}
trap leave EXIT

say() { printf '\n\e[1m%s\e[0m\n' "$*"; }

# The aws CLI, acting in the account that the variable names.
aws() { isthmus aws --account "$account" -- "$@"; }

# network [CIDR]: a VPC with one subnet, 10.0.1.0/24 if nothing is said. All VPCs
# of the examples are 10.0.0.0/16, to show that addresses may overlap.
network() {
	vpc=$(aws ec2 create-vpc --cidr-block 10.0.0.0/16 --query Vpc.VpcId)
	subnet=$(aws ec2 create-subnet --vpc-id "$vpc" --cidr-block "${1:-10.0.1.0/24}" \
		--availability-zone us-east-1a --query Subnet.SubnetId)
}

# security_group NAME: prints the id of a new group, which lets nothing in.
security_group() {
	aws ec2 create-security-group --vpc-id "$vpc" --group-name "$1" --description "$1" --query GroupId
}

# allow GROUP PORT CIDR|sg-…: lets TCP in from addresses, or from the interfaces
# of another group.
allow() {
	local from=(--cidr "$3")
	[[ $3 != sg-* ]] || from=(--source-group "$3")
	aws ec2 authorize-security-group-ingress --group-id "$1" --protocol tcp --port "$2" "${from[@]}" >/dev/null
}

# backend NAME ADDRESS GROUP: nginx at port 80 of an address in the subnet. It
# answers with its name, and the address that it sees the caller under.
backend() {
	local dir=$work/$1 temp
	mkdir -m 777 "$dir"
	temp=$(printf '%s_temp_path %s/%s; ' client_body "$dir" 1 proxy "$dir" 2 fastcgi "$dir" 3 uwsgi "$dir" 4 scgi "$dir" 5)
	cat >"$dir/nginx.conf" <<-END
		daemon off; worker_processes 1; pid $dir/pid; error_log $dir/error.log;
		events {}
		http {
		  access_log off; $temp
		  server { listen 80; location / { return 200 "$1, called by \$remote_addr\n"; } }
		}
	END
	isthmus run --account "$account" --subnet "$subnet" --security-group "$3" --private-ip "$2" -- \
		nginx -c "$dir/nginx.conf" 2>"$dir/log" &
}

# balancer NAME: prints the ARN of a new Network Load Balancer in the subnet.
balancer() {
	aws elbv2 create-load-balancer --name "$1" --type network --scheme internal --subnets "$subnet" \
		--query 'LoadBalancers[0].LoadBalancerArn'
}

# listener BALANCER PORT NAME ADDRESS [HTTP]: a listener that leads to port 80 of
# an address by a target group of its own; prints its ARN.
listener() {
	local group protocol=${5:-TCP}
	group=$(aws elbv2 create-target-group --name "$3" --protocol "$protocol" --port 80 --target-type ip --vpc-id "$vpc" \
		--health-check-interval-seconds 5 --query 'TargetGroups[0].TargetGroupArn')
	aws elbv2 register-targets --target-group-arn "$group" --targets "Id=$4" >/dev/null
	aws elbv2 create-listener --load-balancer-arn "$1" --protocol "$protocol" --port "$2" \
		--default-actions "Type=forward,TargetGroupArn=$group" --query 'Listeners[0].ListenerArn'
}

# interface_of TYPE: prints the address of the VPC's network interface of a
# type, such as network_load_balancer.
interface_of() {
	aws ec2 describe-network-interfaces --filters "Name=vpc-id,Values=$vpc" "Name=interface-type,Values=$1" \
		--query 'NetworkInterfaces[0].PrivateIpAddress'
}

# from_vpc COMMAND …: runs a command on a network interface in the subnet.
from_vpc() { isthmus run --account "$account" --subnet "$subnet" -- "$@" 2>"$work/from_vpc"; }

# url API: where the gateway answers for an API.
url() { echo "http://$1.execute-api.localhost:8080"; }

# get URL [curl's options]: prints what is answered, with the status.
get() { curl -sS -m 10 --resolve '*:8080:127.0.0.1' -w ' (%{http_code})' "$@" | tr -d '\n'; }

# expect PATTERN COMMAND …: the check of an example. A command's output has to
# match; for a while it may not, since new targets must be found healthy first.
expect() {
	local pattern=$1 got end=$((SECONDS + 30))
	shift
	until got=$("$@" 2>&1) && [[ $got == $pattern ]]; do
		if ((SECONDS > end)); then
			printf 'FAILED: %s\n  said: %s\n  want: %s\n' "$*" "$got" "$pattern" >&2
			exit 1
		fi
		sleep 0.2
	done
	printf '%s\n  -> %s\n' "$*" "$got"
}

# no_answer COMMAND …: the other check: a command has to get no answer.
no_answer() {
	local got
	if got=$("$@" 2>&1); then
		printf 'FAILED: %s\n  said: %s\n  want: no answer\n' "$*" "$got" >&2
		exit 1
	fi
	printf '%s\n  -> no answer\n' "$*"
}

# refused COMMAND …: succeeds if the command does not.
refused() { ! "$@"; }
