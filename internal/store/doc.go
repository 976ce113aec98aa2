// Package store keeps the rows of all tables in etcd and shows them as
// immutable snapshots in memory.
//
// A row is JSON under /isthmus/<table>/<key>. Reads never touch etcd: View is
// the latest [Snapshot], which a watch keeps up to date. Writes go through
// [DB.Update], an optimistic transaction: what the function read is compared,
// and what it wrote is written, in one etcd transaction. etcd is embedded in
// the process by default and then listens nowhere; an external cluster may be
// shared by several processes.
//
// Every transaction also writes a version key for each table that it changes,
// and one that listed a table compares that key, so that a list conflicts with
// insertions and deletions (phantoms).
package store
