package health

import "container/heap"

// queue holds the checks that wait for their next probe, the earliest first.
// It implements heap.Interface.
type queue []*checking

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue) Push(x any) {
	c := x.(*checking)
	c.place = len(*q)
	*q = append(*q, c)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	c.place = notQueued
	return c
}

const notQueued = -1

func (q *queue) add(c *checking) { heap.Push(q, c) }

func (q *queue) takeFirst() *checking { return heap.Pop(q).(*checking) }

func (q *queue) remove(c *checking) {
	if c.place != notQueued {
		heap.Remove(q, c.place)
	}
}
