package pannier

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// proto/vectors, as bytes and meanings.

type step struct {
	Send    json.RawMessage
	Request *struct {
		Op      any
		ID      uint32
		Args    map[string]json.RawMessage
		Options map[string]json.RawMessage
	}
	Receive json.RawMessage
	Reply   map[string]json.RawMessage
	Client  string
}

type vector struct {
	file, Name, Forms string
	Raw               bool
	Steps             []step
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func loadVectors(t testing.TB) (all []vector) {
	folder := os.Getenv("PANNIER_VECTORS")
	if folder == "" {
		folder = "../../proto/vectors"
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	must(t, err)
	if len(files) == 0 {
		t.Fatalf("no vectors in %s", folder)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		var content struct{ Vectors []vector }
		must(t, json.Unmarshal(data, &content))
		for _, v := range content.Vectors {
			v.file = strings.TrimSuffix(filepath.Base(file), ".json")
			all = append(all, v)
		}
	}
	return all
}

// wireBytes: hex, or a list of hex and repetitions.
func wireBytes(t testing.TB, raw json.RawMessage) []byte {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		b, err := hex.DecodeString(text)
		must(t, err)
		return b
	}
	var parts []json.RawMessage
	must(t, json.Unmarshal(raw, &parts))
	var all []byte
	for _, part := range parts {
		if part[0] == '{' {
			all = append(all, meaning(t, part).([]byte)...)
		} else {
			all = append(all, wireBytes(t, part)...)
		}
	}
	return all
}

// meaning of a value: []byte, int64, bool, string, nil, []any, map[string]any.
func meaning(t testing.TB, raw json.RawMessage) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	must(t, dec.Decode(&value))
	return meant(t, value)
}

func meant(t testing.TB, value any) any {
	switch v := value.(type) {
	case json.Number:
		n, err := v.Int64()
		must(t, err)
		return n
	case []any:
		for i := range v {
			v[i] = meant(t, v[i])
		}
		return v
	case map[string]any:
		return meantMap(t, v)
	}
	return value
}

func meantMap(t testing.TB, v map[string]any) any {
	if text, ok := v["text"].(string); ok && len(v) == 1 {
		return []byte(text)
	}
	if text, ok := v["hex"].(string); ok && len(v) == 1 {
		b, err := hex.DecodeString(text)
		must(t, err)
		return b
	}
	if text, ok := v["int"].(string); ok && len(v) == 1 {
		n, err := strconv.ParseInt(text, 10, 64)
		must(t, err)
		return n
	}
	if text, ok := v["repeat"].(string); ok {
		b, err := hex.DecodeString(text)
		must(t, err)
		times, err := v["times"].(json.Number).Int64()
		must(t, err)
		return bytes.Repeat(b, int(times))
	}
	for key := range v {
		v[key] = meant(t, v[key])
	}
	return v
}

func opOf(name any) (op, bool) {
	for number, known := range opNames {
		if known == name {
			return number, true
		}
	}
	return 0, false
}

var argumentNames = map[op][]string{opGet: {"key"}, opSet: {"key", "value", "ttl_ms"}, opDelete: {"key"},
	opTouch: {"key", "ttl_ms"}, opIncr: {"key", "delta"}, opPeek: {"key"}, opLease: {"key"},
	opRelease: {"key", "lease"}, opStats: {"section"}, opPing: {"payload"}, opCancel: {"target"},
	opAuth: {"password", "user"}, opGetMany: {"keys"}, opDeleteMany: {"keys"}, opSetMany: {"pairs", "ttl_ms"}}

// argumentsOf: by position, as the client passes them on.
func argumentsOf(t testing.TB, o op, given map[string]json.RawMessage) (args []any) {
	for _, name := range argumentNames[o] {
		raw, ok := given[name]
		if !ok {
			continue
		}
		value := meaning(t, raw)
		if list, ok := value.([]any); ok {
			value = flatBytes(list)
		}
		if section, ok := value.([]byte); ok && o == opStats {
			value = string(section)
		}
		args = append(args, value)
	}
	return args
}

func flatBytes(list []any) [][]byte {
	flat := [][]byte{}
	for _, one := range list {
		if pair, ok := one.([]any); ok {
			flat = append(flat, flatBytes(pair)...)
		} else {
			flat = append(flat, one.([]byte))
		}
	}
	return flat
}

func each(t *testing.T, claim func(t *testing.T, v vector, s step) bool) {
	ran := 0
	for _, v := range loadVectors(t) {
		for i, s := range v.Steps {
			v, s := v, s
			t.Run(fmt.Sprintf("%s-%s-%d", v.file, v.Name, i), func(t *testing.T) {
				if claim(t, v, s) {
					ran++
				}
			})
		}
	}
	if ran == 0 {
		t.Fatal("no vector was looked at")
	}
}

func TestRequestsAreTheseBytes(t *testing.T) {
	each(t, func(t *testing.T, v vector, s step) bool {
		if s.Request == nil || v.Forms != "" {
			return false
		}
		o, ok := opOf(s.Request.Op)
		if !ok {
			return false
		}
		opts := options{}
		for name, raw := range s.Request.Options {
			value := meaning(t, raw)
			if value == false {
				return false // what is false may as well be left out
			}
			opts[optionNumbers[name]] = value
		}
		made, err := encodeRequest(o, s.Request.ID, argumentsOf(t, o, s.Request.Args), opts)
		must(t, err)
		data := wireBytes(t, s.Send)
		if data[0] == magic {
			data = data[len(data)-len(made):]
		}
		// Options stand in any order.
		if !bytes.Equal(made, data) && (len(opts) < 2 || !sameFields(t, made, data)) {
			t.Errorf("made %x, not %x", made, data)
		}
		return true
	})
}

func sameFields(t *testing.T, made, data []byte) bool {
	var fields [2][]any
	for i, b := range [][]byte{made, data} {
		body, err := readFrame(bytes.NewReader(b))
		must(t, err)
		dec := msgpack.NewDecoder(bytes.NewReader(body))
		dec.SetMapDecoder(func(d *msgpack.Decoder) (any, error) { return d.DecodeUntypedMap() })
		fields[i], err = dec.DecodeSlice()
		must(t, err)
	}
	return len(made) == len(data) && reflect.DeepEqual(fields[0], fields[1])
}

// understand reads a frame as the connection does.
func understand(o op, data []byte, nItems int) (int64, reply, error) {
	body, err := readFrame(bytes.NewReader(data))
	if err != nil {
		return 0, reply{}, err
	}
	fields, err := unpack(body)
	if err != nil {
		return 0, reply{}, err
	}
	id, err := intAt(fields, 0)
	if err != nil {
		return 0, reply{}, err
	}
	r, err := decodeReply(o, fields[1:], nItems)
	return id, r, err
}

func same(t *testing.T, want map[string]any, r reply, err error) {
	t.Helper()
	var replied *ReplyError
	if want["status"] == "error" {
		if !errors.As(err, &replied) || replied.Code != want["code"] {
			t.Errorf("an error of code %v, not %v", want["code"], err)
		}
		return
	}
	must(t, err)
	for name, value := range want {
		var have any
		switch name {
		case "to", "id":
			continue
		case "status":
			have = r.status.String()
		case "value", "payload":
			have = r.value
		case "token":
			have = r.token
		case "left_ms":
			have = number(r.leftMS)
		case "age_ms":
			have = number(r.ageMS)
		case "length", "sum", "count":
			have = r.number
		case "stats":
			have = fmt.Sprint(r.fields)
			fields := map[string]string{}
			for k, v := range value.(map[string]any) {
				fields[k] = textOf(v)
			}
			value = fmt.Sprint(fields)
		case "items":
			sameItems(t, value.([]any), r.items)
			continue
		}
		if fmt.Sprintf("%T %v", have, have) != fmt.Sprintf("%T %v", value, value) {
			t.Errorf("%s is %v, not %v", name, have, value)
		}
	}
}

func number(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

func sameItems(t *testing.T, want []any, items []item) {
	t.Helper()
	if len(want) != len(items) {
		t.Fatalf("%d items, not %d", len(items), len(want))
	}
	for i, one := range items {
		same(t, want[i].(map[string]any), one.reply, one.err)
	}
}

func wanted(t *testing.T, s step) map[string]any {
	want := map[string]any{}
	for name, raw := range s.Reply {
		want[name] = meaning(t, raw)
	}
	return want
}

func TestRepliesMeanThis(t *testing.T) {
	each(t, func(t *testing.T, v vector, s step) bool {
		if s.Reply == nil || s.Receive == nil {
			return false
		}
		want := wanted(t, s)
		o, ok := opOf(want["to"])
		if !ok {
			return false
		}
		items, _ := want["items"].([]any)
		data := wireBytes(t, s.Receive)
		id, r, err := understand(o, data, len(items))
		if id != want["id"] {
			t.Errorf("id %d, not %v", id, want["id"])
		}
		same(t, want, r, err)
		for cut := 0; cut < len(data); cut += 1 + len(data)/600 {
			if _, _, err := understand(o, data[:cut], len(items)); err == nil {
				t.Fatalf("%d of %d bytes were enough", cut, len(data))
			}
		}
		return true
	})
}

func TestPrefacesAreUnderstood(t *testing.T) {
	each(t, func(t *testing.T, v vector, s step) bool {
		if s.Reply == nil || string(s.Reply["to"]) != `"preface"` {
			return false
		}
		want := wanted(t, s)
		body, err := readFrame(bytes.NewReader(wireBytes(t, s.Receive)[1:]))
		must(t, err)
		about, err := serverOf(body)
		if want["version"] == int64(0) {
			if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "why") {
				t.Errorf("refused: %v", err)
			}
			return true
		}
		must(t, err)
		for key, value := range want["offer"].(map[string]any) {
			if text, ok := value.(string); ok && about[key] != text {
				t.Errorf("%s is %q, not %q", key, about[key], text)
			}
		}
		return true
	})
}
