package idp

import "strconv"

// Cookie is one that a client is to keep, or to forget if it has no value.
type Cookie struct{ Name, Value string }

// Cookies are those of a session, and those to forget that the client has
// besides: those with a number for which has says so.
func (l *Login) Cookies(s *Session, has func(name string) bool) ([]Cookie, *Failure) {
	var values []string
	if s != nil {
		var err error
		if values, err = shards(l.config.CookieName, l.sealer.seal(l.purpose(), s)); err != nil {
			return nil, refuse("AuthUserinfoResponseSizeExceeded", "authenticate: "+err.Error())
		}
	}
	var out []Cookie
	for i := range maxShards {
		switch name := l.cookie(i); {
		case i < len(values):
			out = append(out, Cookie{name, values[i]})
		case has(name):
			out = append(out, Cookie{name, ""})
		}
	}
	return out, nil
}

// Session reads the session of a client by its cookies, of which value finds one.
// It is nil if there is none, or one that has ended or is another provider's.
func (l *Login) Session(value func(name string) (string, bool)) (*Session, *Failure) {
	sealed, err := join(func(i int) (string, bool) { return value(l.cookie(i)) })
	if sealed == "" && err == nil {
		return nil, nil
	}
	s := &Session{}
	if err == nil {
		err = l.sealer.open(l.purpose(), sealed, s)
	}
	switch {
	case err != nil:
		return nil, refuse("AuthInvalidCookie", "authenticate: the cookie "+l.config.CookieName+": "+err.Error())
	case s.Provider != l.ID || l.now().Unix() >= s.Ends:
		return nil, nil
	}
	return s, nil
}

func (l *Login) cookie(i int) string { return l.config.CookieName + "-" + strconv.Itoa(i) }

func (l *Login) purpose() string { return "session " + l.config.CookieName }

// Fields are what a target is told of a session.
type Fields struct{ AccessToken, Identity, Data string }

// Fields makes what a target is told.
func (l *Login) Fields(s *Session) (Fields, *Failure) {
	data, err := l.signer.data(l.config, s.Claims, l.now())
	if err != nil {
		return Fields{}, &Failure{500, "AuthUnhandledException", "authenticate: sign claims: " + err.Error()}
	}
	return Fields{s.Access, s.Subject, data}, nil
}
