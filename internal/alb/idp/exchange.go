package idp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Limits of answers in bytes, and how far a provider's clock may be off.
const (
	maxTokens   = 64 << 10
	maxUserInfo = 64 << 10
	clockSkew   = time.Minute
)

// Finish exchanges the code of a client that has come back for a session.
func (l *Login) Finish(ctx context.Context, r *Return) (*Session, *Failure) {
	t, f := l.tokens(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {r.code}, "redirect_uri": {callbackURL(r.state.Host)}})
	if f != nil {
		return nil, f
	}
	subject, err := l.checkIDToken(t.ID)
	if err != nil {
		return nil, refuse("AuthInvalidIdToken", "identity-provider: "+err.Error())
	}
	s := &Session{Provider: l.ID, Subject: subject, Ends: l.now().Unix() + int64(l.config.SessionSeconds)}
	return s, l.fill(ctx, s, t)
}

// refresh asks for the tokens and claims of a session anew. It ends when the old
// one does.
func (l *Login) refresh(ctx context.Context, old *Session) (*Session, *Failure) {
	t, f := l.tokens(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}})
	if f != nil {
		return nil, f
	}
	if t.Refresh == "" {
		t.Refresh = old.Refresh
	}
	s := &Session{Provider: l.ID, Subject: old.Subject, Ends: old.Ends}
	return s, l.fill(ctx, s, t)
}

// tokens is the answer of a token endpoint (RFC 6749, section 5.1; OpenID
// Connect Core 1.0, section 3.1.3.3).
type tokens struct {
	Access    string      `json:"access_token"`
	Type      string      `json:"token_type"`
	ID        string      `json:"id_token"`
	Refresh   string      `json:"refresh_token"`
	ExpiresIn json.Number `json:"expires_in"`
}

// tokens asks the token endpoint, as the client whose secret is in the field
// Authorization (client_secret_basic, which every provider must know).
func (l *Login) tokens(ctx context.Context, form url.Values) (*tokens, *Failure) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.config.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &Failure{500, "AuthUnhandledException", "authenticate: " + err.Error()}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(url.QueryEscape(l.config.ClientID), url.QueryEscape(l.config.ClientSecret)) // RFC 6749, section 2.3.1
	status, body, timedOut, err := l.client.ask(r, maxTokens)
	about := "token endpoint " + l.config.TokenEndpoint + ": "
	var refused struct {
		Error string `json:"error"`
	}
	switch {
	case timedOut:
		return nil, &Failure{500, "AuthTokenEpRequestTimeout", about + err.Error()}
	case errors.Is(err, errTooLarge):
		return nil, &Failure{561, "AuthInvalidTokenResponse", about + err.Error()}
	case err != nil:
		return nil, &Failure{500, "AuthTokenEpRequestFailed", about + err.Error()}
	case status/100 != 2:
		reason := "AuthTokenEpRequestFailed"
		if json.Unmarshal(body, &refused); refused.Error == "invalid_grant" {
			reason = "AuthInvalidGrantError"
		}
		return nil, &Failure{561, reason, about + fmt.Sprintf("it answers %d %.100q", status, refused.Error)}
	}
	var t tokens
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, &Failure{561, "AuthInvalidTokenResponse", about + "its answer can't be read"}
	}
	if t.Access == "" || !strings.EqualFold(t.Type, "Bearer") || !plain(t.Access) {
		return nil, &Failure{561, "AuthInvalidTokenResponse", about + "it gives no bearer token"}
	}
	return &t, nil
}

// checkIDToken returns the subject of an ID token. It came from the provider
// itself over TLS, which vouches for it in the place of its signature (OpenID
// Connect Core 1.0, section 3.1.3.7).
func (l *Login) checkIDToken(text string) (subject string, err error) {
	if text == "" {
		return "", errors.New("it gives no ID token; is openid in the scope?")
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(text, claims); err != nil {
		return "", fmt.Errorf("its ID token can't be read: %w", err)
	}
	v := jwt.NewValidator(jwt.WithIssuer(l.config.Issuer), jwt.WithAudience(l.config.ClientID), jwt.WithExpirationRequired(),
		jwt.WithLeeway(clockSkew), jwt.WithTimeFunc(l.now))
	if err := v.Validate(claims); err != nil {
		return "", fmt.Errorf("its ID token: %w", err)
	}
	if subject, err = claims.GetSubject(); err != nil || subject == "" || !plain(subject) {
		return "", errors.New("its ID token names no subject")
	}
	return subject, nil
}

// fill puts tokens and the claims that they open into a session.
func (l *Login) fill(ctx context.Context, s *Session, t *tokens) *Failure {
	s.Access, s.Refresh = t.Access, t.Refresh
	if seconds, err := t.ExpiresIn.Int64(); err == nil && seconds > 0 {
		s.AccessEnds = l.now().Unix() + seconds
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.config.UserInfoEndpoint, nil)
	if err != nil {
		return &Failure{500, "AuthUnhandledException", "authenticate: " + err.Error()}
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Authorization", "Bearer "+t.Access)
	status, body, timedOut, err := l.client.ask(r, maxUserInfo)
	about := "user info endpoint " + l.config.UserInfoEndpoint + ": "
	switch {
	case timedOut:
		return &Failure{500, "AuthUserinfoEpRequestTimeout", about + err.Error()}
	case errors.Is(err, errTooLarge):
		return refuse("AuthUserinfoResponseSizeExceeded", about+err.Error())
	case err != nil:
		return &Failure{500, "AuthUserinfoEpRequestFailed", about + err.Error()}
	case status/100 != 2:
		return &Failure{561, "AuthUserinfoEpRequestFailed", about + fmt.Sprintf("it answers %d", status)}
	}
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(body, &claims); err != nil || claims == nil {
		return &Failure{561, "AuthInvalidUserinfoResponse", about + "its answer is no JSON object"}
	}
	// Claims of somebody else are not to be used (section 5.3.2).
	var subject string
	if err := json.Unmarshal(claims["sub"], &subject); err != nil || subject != s.Subject {
		return &Failure{561, "AuthInvalidUserinfoResponse", about + "its answer is about another subject than the ID token"}
	}
	if s.Claims, err = json.Marshal(claims); err != nil { // without white space
		return &Failure{561, "AuthInvalidUserinfoResponse", about + err.Error()}
	}
	if len(s.Claims)+len(s.Access) > maxClaims {
		return refuse("AuthUserinfoResponseSizeExceeded", about+fmt.Sprintf("claims and access token have more than %d bytes", maxClaims))
	}
	return nil
}

// plain tells whether a text can be the value of a header field.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
