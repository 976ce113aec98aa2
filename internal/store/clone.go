package store

import "reflect"

// clone returns a copy of v that shares nothing changeable with it. Rows are
// plain data; a struct with unexported fields is taken to be an immutable
// value, as time.Time and netip.Addr are.
func clone(v any) any { return cloneValue(reflect.ValueOf(v)).Interface() }

func cloneValue(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(cloneValue(v.Elem()))
		return c
	case reflect.Struct:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		for i := range v.NumField() {
			if field := c.Field(i); field.CanSet() && holdsReferences(field.Kind()) {
				field.Set(cloneValue(v.Field(i)))
			}
		}
		return c
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		if holdsReferences(v.Type().Elem().Kind()) {
			for i := range v.Len() {
				c.Index(i).Set(cloneValue(v.Index(i)))
			}
		}
		return c
	case reflect.Array:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		if holdsReferences(v.Type().Elem().Kind()) {
			for i := range v.Len() {
				c.Index(i).Set(cloneValue(v.Index(i)))
			}
		}
		return c
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(it.Key(), cloneValue(it.Value()))
		}
		return c
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type()).Elem()
		c.Set(cloneValue(v.Elem()))
		return c
	default:
		return v
	}
}

// holdsReferences reports whether values of the kind may refer to memory that
// a plain assignment would share.
func holdsReferences(k reflect.Kind) bool {
	switch k {
	case reflect.Pointer, reflect.Struct, reflect.Slice, reflect.Array, reflect.Map, reflect.Interface:
		return true
	}
	return false
}
