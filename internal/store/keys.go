package store

import "strings"

// The layout in etcd. A row's key may hold any bytes, slashes too, since
// everything after the table's name is the row's key.
const (
	keyPrefix     = "/isthmus/"
	versionPrefix = keyPrefix + ".version/"
)

func rowKey(def *definition, key string) string { return keyPrefix + def.name + "/" + key }

func versionKey(def *definition) string { return versionPrefix + def.name }

// parseKey tells what an etcd key is: the version of a table, or a row of it.
// Keys of tables that this program does not have give a nil definition.
func parseKey(etcdKey string) (def *definition, key string, version bool) {
	name, version := strings.CutPrefix(etcdKey, versionPrefix)
	if !version {
		var found bool
		if name, key, found = strings.Cut(strings.TrimPrefix(etcdKey, keyPrefix), "/"); !found {
			return nil, "", false
		}
	}
	definitions.RLock()
	defer definitions.RUnlock()
	return definitions.byName[name], key, version
}
