package pannier

import (
	"bytes"
	"encoding/binary"
	"io"
	"sort"

	"github.com/vmihailenco/msgpack/v5"
)

// The binary protocol (proto/PROTOCOL.md) without any I/O: what bytes mean, and the other way round.

const (
	protocolVersion = 1
	magic           = 0xc1
	maxFrame        = 1 << 30
	plainLine       = 1024
	levelsMax       = 4
	clientName      = "pannier-go-1.0"
)

// Reply is a reply that is no error. What is set beside Status depends on operation and status.
type reply struct {
	status Status
	value  []byte
	leftMS *int64 // nil: no end, or not known
	ageMS  *int64
	token  []byte
	number int64
	fields map[string]string
	items  []item
}

type item struct {
	reply reply
	err   error
}

func appendLength(b []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n <= 0xff:
		return append(b, 0xcc, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
}

func frame(body []byte) []byte {
	return append(appendLength(make([]byte, 0, len(body)+5), len(body)), body...)
}

// Options by number.
type options map[int]any

// Encodes arguments of the types that requests have, in the shortest form.
func encodeRequest(o op, id uint32, args []any, opts options) ([]byte, error) {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	enc.UseCompactInts(true)
	n := 2 + len(args)
	if len(opts) > 0 {
		n++
	}
	if err := enc.EncodeArrayLen(n); err != nil {
		return nil, err
	}
	if err := enc.EncodeMulti(uint8(o), id); err != nil {
		return nil, err
	}
	for _, arg := range args {
		if err := encodeArgument(enc, arg); err != nil {
			return nil, err
		}
	}
	if err := encodeOptions(enc, opts); err != nil {
		return nil, err
	}
	return frame(buf.Bytes()), nil
}

func encodeArgument(enc *msgpack.Encoder, arg any) error {
	list, ok := arg.([][]byte)
	if !ok {
		return enc.Encode(arg)
	}
	if err := enc.EncodeArrayLen(len(list)); err != nil {
		return err
	}
	for _, b := range list {
		if err := encodeBytes(enc, b); err != nil {
			return err
		}
	}
	return nil
}

// A nil slice is bytes as well.
func encodeBytes(enc *msgpack.Encoder, b []byte) error {
	if b == nil {
		b = []byte{}
	}
	return enc.EncodeBytes(b)
}

func encodeOptions(enc *msgpack.Encoder, opts options) error {
	if len(opts) == 0 {
		return nil
	}
	numbers := make([]int, 0, len(opts))
	for number := range opts {
		numbers = append(numbers, number)
	}
	sort.Ints(numbers)
	if err := enc.EncodeMapLen(len(opts)); err != nil {
		return err
	}
	for _, number := range numbers {
		if err := enc.EncodeMulti(number, opts[number]); err != nil {
			return err
		}
	}
	return nil
}

func hello() []byte {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	_ = enc.EncodeArrayLen(3) // a buffer takes everything
	_ = enc.EncodeMulti("pannier", uint8(protocolVersion), map[string]string{"client": clientName})
	return append([]byte{magic}, frame(buf.Bytes())...)
}

// --- frames ------------------------------------------------------------------------

type byteReader interface {
	io.Reader
	io.ByteReader
}

// Reads a frame's body. The memory grows with what comes, not with what is announced.
func readFrame(r byteReader) ([]byte, error) {
	first, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	n := uint64(first)
	if first >= 0x80 {
		size := map[byte]int{0xcc: 1, 0xcd: 2, 0xce: 4}[first]
		if size == 0 {
			return nil, broken("a frame's length cannot begin with %#02x", first)
		}
		var raw [8]byte
		if _, err := io.ReadFull(r, raw[8-size:]); err != nil {
			return nil, err
		}
		n = binary.BigEndian.Uint64(raw[:])
	}
	if n == 0 || n > maxFrame {
		return nil, broken("a frame of %d bytes; 1 to %d are possible", n, maxFrame)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(n)); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// The elements of a body: int64, uint64, []byte (of str and bin), bool, nil, []any, map[string]any.
func unpack(body []byte) ([]any, error) {
	r := bytes.NewReader(body)
	dec := msgpack.NewDecoder(r)
	element, err := unpackElement(dec, levelsMax, r)
	if err != nil {
		return nil, broken("a frame that is no msgpack: %v", err)
	}
	fields, ok := element.([]any)
	if !ok || len(fields) < 2 || r.Len() != 0 {
		return nil, broken("a frame that is no reply")
	}
	return fields, nil
}

func unpackElement(dec *msgpack.Decoder, levels int, rest *bytes.Reader) (any, error) {
	code, err := dec.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case code >= 0x90 && code <= 0x9f, code == 0xdc, code == 0xdd:
		return unpackArray(dec, levels, rest)
	case code >= 0x80 && code <= 0x8f, code == 0xde, code == 0xdf:
		return unpackMap(dec, levels, rest)
	case code >= 0xa0 && code <= 0xbf, code >= 0xc4 && code <= 0xc6, code >= 0xd9 && code <= 0xdb:
		return dec.DecodeBytes()
	case code == 0xcf: // beyond int64
		return dec.DecodeUint64()
	case code <= 0x7f, code >= 0xe0, code >= 0xcc && code <= 0xce, code >= 0xd0 && code <= 0xd3:
		return dec.DecodeInt64()
	default:
		return dec.DecodeInterface()
	}
}

// A header that promises more than the frame has: each element takes a byte.
func checkCount(n, size, levels int, rest *bytes.Reader) error {
	if levels == 0 {
		return broken("more than %d levels", levelsMax)
	}
	if n > rest.Len()/size {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func unpackArray(dec *msgpack.Decoder, levels int, rest *bytes.Reader) (any, error) {
	n, err := dec.DecodeArrayLen()
	if err != nil {
		return nil, err
	}
	if err := checkCount(n, 1, levels, rest); err != nil {
		return nil, err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = unpackElement(dec, levels-1, rest); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func unpackMap(dec *msgpack.Decoder, levels int, rest *bytes.Reader) (any, error) {
	n, err := dec.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	if err := checkCount(n, 2, levels, rest); err != nil {
		return nil, err
	}
	m := make(map[string]any, n)
	for i := 0; i < n; i++ {
		key, err := unpackElement(dec, levels-1, rest)
		if err != nil {
			return nil, err
		}
		value, err := unpackElement(dec, levels-1, rest)
		if err != nil {
			return nil, err
		}
		if name, ok := key.([]byte); ok {
			m[string(name)] = value
		}
	}
	return m, nil
}

// --- what a reply means ---------------------------------------------------------------

func bytesAt(fields []any, i int) ([]byte, error) {
	if i >= len(fields) {
		return nil, unexpected("the reply has only %d elements", len(fields))
	}
	b, ok := fields[i].([]byte)
	if !ok {
		return nil, unexpected("bytes were expected, not %T", fields[i])
	}
	return b, nil
}

func intAt(fields []any, i int) (int64, error) {
	if i >= len(fields) {
		return 0, unexpected("the reply has only %d elements", len(fields))
	}
	switch n := fields[i].(type) {
	case int64:
		return n, nil
	case uint64:
		if n <= 1<<63-1 {
			return int64(n), nil
		}
	}
	return 0, unexpected("an integer was expected, not %T", fields[i])
}

func optionalIntAt(fields []any, i int) (*int64, error) {
	if i < len(fields) && fields[i] == nil {
		return nil, nil
	}
	n, err := intAt(fields, i)
	return &n, err
}

// left_ms, age_ms, token
func (r *reply) takeMeta(fields []any) (err error) {
	if r.leftMS, err = optionalIntAt(fields, 0); err != nil {
		return err
	}
	if r.ageMS, err = optionalIntAt(fields, 1); err != nil {
		return err
	}
	r.token, err = bytesAt(fields, 2)
	return err
}

func decodeItem(o op, fields []any) (r reply, err error) {
	n, err := intAt(fields, 0)
	if err != nil {
		return r, err
	}
	r.status = Status(n)
	if n < 0 || n > 255 || !mayBe(o, r.status) {
		return r, unexpected("%s: a status that it cannot have: %d", opNames[o], n)
	}
	rest := fields[1:]
	switch r.status {
	case StatusError:
		return r, decodeError(rest)
	case StatusHit, StatusStale, StatusFilled, StatusCoalesced:
		return r, r.takeValue(o, rest)
	case StatusLease:
		if r.token, err = bytesAt(rest, 0); err == nil && len(rest) > 1 && rest[1] != nil {
			r.value, err = bytesAt(rest, 1)
		}
	case StatusStored:
		if o == opIncr {
			r.number, err = intAt(rest, 0)
		}
	case StatusDone:
		err = r.takeDone(o, rest)
	}
	return r, err
}

func mayBe(o op, s Status) bool {
	for _, possible := range statusesOf[o] {
		if s == possible {
			return true
		}
	}
	return false
}

func decodeError(rest []any) error {
	code, err := bytesAt(rest, 0)
	if err != nil {
		return err
	}
	text, err := bytesAt(rest, 1)
	if err != nil {
		return err
	}
	return &ReplyError{string(code), string(text)}
}

func (r *reply) takeValue(o op, rest []any) (err error) {
	if o == opPeek {
		if r.number, err = intAt(rest, 0); err != nil {
			return err
		}
		return r.takeMeta(rest[1:])
	}
	if r.value, err = bytesAt(rest, 0); err != nil || len(rest) < 4 {
		return err
	}
	return r.takeMeta(rest[1:])
}

func (r *reply) takeDone(o op, rest []any) (err error) {
	switch o {
	case opGetMany:
		return r.takeItems(opGet, rest)
	case opSetMany:
		return r.takeItems(opSet, rest)
	case opDeleteMany:
		r.number, err = intAt(rest, 0)
	case opStats:
		return r.takeFields(rest)
	case opPing:
		if len(rest) > 0 {
			r.value, err = bytesAt(rest, 0)
		}
	}
	return err
}

func (r *reply) takeItems(o op, rest []any) error {
	if len(rest) == 0 {
		return unexpected("%s: the items are missing", opNames[o])
	}
	list, ok := rest[0].([]any)
	if !ok {
		return unexpected("%s: the items are %T", opNames[o], rest[0])
	}
	r.items = make([]item, len(list))
	for i, raw := range list {
		fields, ok := raw.([]any)
		if !ok {
			return unexpected("%s: an item is %T", opNames[o], raw)
		}
		one, err := decodeItem(o, fields)
		if _, isReply := err.(*ReplyError); err != nil && !isReply {
			return err
		}
		r.items[i] = item{one, err}
	}
	return nil
}

func (r *reply) takeFields(rest []any) error {
	if len(rest) == 0 {
		return unexpected("STATS is answered with a map")
	}
	m, ok := rest[0].(map[string]any)
	if !ok {
		return unexpected("STATS is answered with a map, not %T", rest[0])
	}
	r.fields = make(map[string]string, len(m))
	for name, value := range m {
		r.fields[name] = textOf(value)
	}
	return nil
}

// What an operation's reply, without its id, means; nItems of GET_MANY and SET_MANY.
func decodeReply(o op, fields []any, nItems int) (reply, error) {
	r, err := decodeItem(o, fields)
	if err == nil && r.items != nil && len(r.items) != nItems {
		err = unexpected("%s: %d items for %d", opNames[o], len(r.items), nItems)
	}
	return r, err
}
