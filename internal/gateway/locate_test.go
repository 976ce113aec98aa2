package gateway

import "testing"

func TestAPIOfHost(t *testing.T) {
	for host, want := range map[string]string{
		"abc.execute-api.localhost": "abc", "abc.execute-api.localhost:8080": "abc", "abc.execute-api.localhost.": "abc",
		"ABC.execute-api.localhost": "abc", "abc.EXECUTE-API.LOCALHOST:80": "abc", "aBc.execute-api.us-east-1.amazonaws.com": "abc",
		"abc.execute-api.us-east-1.amazonaws.com": "abc", "abc.execute-api.us-east-1.amazonaws.com.cn": "abc", "abc.execute-api.us-east-1.localhost:1": "abc",
		"abc.execute-api.us-east-2.amazonaws.com": "", "abc.execute-api.us-east-1.amazonaws.org": "", "abc.execute-api.us-east-1": "", "abc.execute-api.": "",
		"a.b.execute-api.localhost": "", ".execute-api.localhost": "", "": "", ":80": "", "[::1]:80": "", "localhost": "", "execute-api.localhost": "",
	} {
		if got, ok := apiOfHost(host, "us-east-1"); got != want || ok != (want != "") {
			t.Errorf("apiOfHost(%q) is %q, %v", host, got, ok)
		}
	}
}
