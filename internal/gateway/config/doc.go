// Package config holds the compiled configuration of API Gateway's request
// chain: what the gateway process serves. It is plain data that travels as
// JSON; references are resolved and stage variables are substituted wherever
// they decide where a request goes, so that the gateway looks nothing up.
//
// A request finds its API by host name, its Stage by the first path segment
// (HTTP APIs also have "$default"), its Route by method and path, and the
// Route's Integration names the Upstream by which the backend is reached.
package config
