package idp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// CallbackPath is where providers send clients back to.
const CallbackPath = "/oauth2/idpresponse"

// NonceCookie is the name of the cookie that binds a client to its login.
const NonceCookie = "AWSALBAuthNonce"

// LoginTime is how long a client may take to log in ("Client login timeout" in
// the user guide).
const LoginTime = 15 * time.Minute

// Login is the login with one provider. It is safe for concurrent use.
type Login struct {
	// ID tells logins apart whose sessions are not good for each other.
	ID     string
	config *config.Authenticate
	client *Client
	sealer *sealer
	signer *signer
	now    func() time.Time
}

// NewLogin makes the login of a balancer (ARN) with a provider. The first of the
// keys is used, the others are still believed.
func NewLogin(c *config.Authenticate, balancer string, keys []config.IdentityKey, client *Client) (*Login, error) {
	l := &Login{config: c, client: client, now: time.Now}
	var err error
	if l.sealer, err = newSealer(keys); err != nil {
		return nil, err
	}
	if l.signer, err = newSigner(keys[0], balancer); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{
		c.Issuer, c.AuthorizationEndpoint, c.TokenEndpoint, c.UserInfoEndpoint, c.ClientID, c.Scope, c.CookieName,
	}))
	l.ID = hex.EncodeToString(sum[:16])
	return l, nil
}

// OnUnauthenticated says what becomes of a request without a session.
func (l *Login) OnUnauthenticated() config.Unauthenticated { return l.config.OnUnauthenticated }

// state goes to the provider with the client, and comes back.
type state struct {
	Login string `json:"l"` // ID
	Nonce string `json:"n"`
	Host  string `json:"h"`
	URL   string `json:"u"` // path and query of the client's request
	Ends  int64  `json:"e"`
}

const statePurpose = "state"

// maxURL bounds the URL of a request that goes on after a login: it travels
// inside the URL of the provider.
const maxURL = 4 << 10

// Begin is where a client is sent to log in that has asked for a URL (path and
// query) of a host. The nonce is the value that its cookie is to have: the one
// that it has, if there is one, so that it can log in from several windows.
func (l *Login) Begin(host, path, nonce string) (location, newNonce string, failure *Failure) {
	switch {
	case host == "":
		return "", "", refuse("AuthMissingHostHeader", "authenticate: the request has no Host header, without which there is no URL to come back to")
	case len(path) > maxURL:
		return "", "", &Failure{414, "", "authenticate: the URL is too long to come back to"}
	}
	if len(nonce) != nonceSize || strings.Trim(nonce, nonceAlphabet) != "" {
		nonce = rand.Text()
	}
	host = strings.ToLower(host)
	to, err := url.Parse(l.config.AuthorizationEndpoint)
	if err != nil {
		return "", "", &Failure{500, "AuthUnhandledException", "authenticate: " + err.Error()}
	}
	query := to.Query()
	for name, value := range l.config.ExtraParams {
		query.Set(name, value)
	}
	query.Set("client_id", l.config.ClientID)
	query.Set("redirect_uri", callbackURL(host))
	query.Set("response_type", "code")
	query.Set("scope", l.config.Scope)
	query.Set("state", l.sealer.seal(statePurpose, state{l.ID, nonce, host, path, l.now().Add(LoginTime).Unix()}))
	to.RawQuery = query.Encode()
	return to.String(), nonce, nil
}

// The nonces are those of rand.Text.
const (
	nonceSize     = 26
	nonceAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

func callbackURL(host string) string { return "https://" + host + CallbackPath }

// Return is a client that has come back from a provider.
type Return struct {
	state state
	code  string
}

// ReadReturn reads the query with which a client comes back, and finds by it the
// login that it began. nonce is the value of its cookie; empty if it has none.
func ReadReturn(logins map[string]*Login, rawQuery, nonce string) (*Login, *Return, *Failure) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, nil, refuse("AuthInvalidStateParam", "authenticate: the query can't be read")
	}
	text := query.Get("state")
	if text == "" {
		return nil, nil, refuse("AuthMissingStateParam", "authenticate: the query has no state")
	}
	var found *Login
	r := &Return{code: query.Get("code")}
	for _, l := range logins { // all have the same keys
		if err := l.sealer.open(statePurpose, text, &r.state); err != nil {
			return nil, nil, refuse("AuthInvalidStateParam", "authenticate: the state: "+err.Error())
		}
		found = logins[r.state.Login]
		break
	}
	switch {
	case found == nil:
		return nil, nil, refuse("AuthInvalidStateParam", "authenticate: the login was begun with a provider that no rule names any more")
	case found.now().Unix() >= r.state.Ends:
		return nil, nil, refuse("AuthInvalidStateParam", fmt.Sprintf("authenticate: the client took more than %v to log in", LoginTime))
	case nonce == "":
		return nil, nil, refuse("AuthMissingAWSALBAuthNonce", "authenticate: the client has no cookie "+NonceCookie)
	case subtle.ConstantTimeCompare([]byte(nonce), []byte(r.state.Nonce)) != 1:
		return nil, nil, refuse("AuthInvalidAWSALBAuthNonce", "authenticate: the login was begun by another client")
	case query.Get("error") != "":
		return nil, nil, &Failure{561, "AuthMissingCodeParam", fmt.Sprintf("identity-provider: it refuses: %.200q %.500q", query.Get("error"), query.Get("error_description"))}
	case r.code == "":
		return nil, nil, refuse("AuthMissingCodeParam", "authenticate: the query has no code")
	}
	return found, r, nil
}

// URL is the one that the client asked for.
func (r *Return) URL() string { return "https://" + r.state.Host + r.state.URL }
