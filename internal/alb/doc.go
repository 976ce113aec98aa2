// Package alb is one node of an Application Load Balancer: it matches requests
// with the rules of its listeners and carries them to targets. It has the
// requests and responses of package message, and is fed compiled configuration
// (package config); it reads neither the store nor the services.
package alb
