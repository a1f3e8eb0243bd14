// Streams a file in messages with grpc-go: what Gproc's GetOutput does, without Gproc.
//
// serve CA CERT KEY: answers bench.Files/Read; its first line says the port.
// fetch PORT CA CERT KEY: reads what each JSON line on standard input asks for.
//
// Messages are google.protobuf.BytesValue: one field of bytes, less work than a JobOutput, so this favours the peer.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const message = 512 * 1024

func read(_ any, stream grpc.ServerStream) error {
	var path wrapperspb.StringValue
	if err := stream.RecvMsg(&path); err != nil {
		return err
	}
	file, err := os.Open(path.Value)
	if err != nil {
		return err
	}
	defer file.Close()
	buffer := make([]byte, message)
	for offset := int64(0); ; {
		n, err := file.ReadAt(buffer, offset)
		if n == 0 {
			return ignoreEOF(err)
		}
		offset += int64(n)
		if err := stream.SendMsg(&wrapperspb.BytesValue{Value: buffer[:n]}); err != nil {
			return err
		}
	}
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

var files = grpc.ServiceDesc{
	ServiceName: "bench.Files",
	HandlerType: (*any)(nil),
	Streams:     []grpc.StreamDesc{{StreamName: "Read", Handler: read, ServerStreams: true}},
}

func tlsConfig(ca, cert, key string) *tls.Config {
	pem := must(os.ReadFile(ca))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{must(tls.LoadX509KeyPair(cert, key))},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		RootCAs:      pool,
	}
}

func serve(ca, cert, key string) {
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(tlsConfig(ca, cert, key))))
	server.RegisterService(&files, nil)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	check(server.Serve(listener))
}

type request struct {
	Path   string
	Hashed bool
}

type answer struct {
	Seconds float64 `json:"seconds"`
	Bytes   int     `json:"bytes"`
	Sha256  string  `json:"sha256"`
	Error   string  `json:"error,omitempty"`
}

func fetch(connection *grpc.ClientConn, wanted request) (answer, error) {
	digest := sha256.New()
	start := time.Now()
	total := 0
	stream, err := connection.NewStream(context.Background(), &files.Streams[0], "/bench.Files/Read")
	if err != nil {
		return answer{}, err
	}
	if err := stream.SendMsg(wrapperspb.String(wanted.Path)); err != nil {
		return answer{}, err
	}
	if err := stream.CloseSend(); err != nil {
		return answer{}, err
	}
	for {
		var piece wrapperspb.BytesValue
		err := stream.RecvMsg(&piece)
		if err == io.EOF {
			break
		}
		if err != nil {
			return answer{}, err
		}
		total += len(piece.Value)
		if wanted.Hashed {
			digest.Write(piece.Value)
		}
	}
	result := answer{Seconds: time.Since(start).Seconds(), Bytes: total}
	if wanted.Hashed {
		result.Sha256 = hex.EncodeToString(digest.Sum(nil))
	}
	return result, nil
}

func fetchAll(port, ca, cert, key string) {
	config := credentials.NewTLS(tlsConfig(ca, cert, key))
	connection := must(grpc.NewClient("localhost:"+port, grpc.WithTransportCredentials(config)))
	defer connection.Close()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var wanted request
		check(json.Unmarshal(lines.Bytes(), &wanted))
		result, err := fetch(connection, wanted)
		if err != nil {
			result.Error = err.Error()
		}
		fmt.Println(string(must(json.Marshal(result))))
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpcgo:", err)
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3], os.Args[4])
	} else if len(os.Args) == 6 && os.Args[1] == "fetch" {
		fetchAll(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	} else {
		fmt.Fprintln(os.Stderr, "usage: grpcgo serve CA CERT KEY | grpcgo fetch PORT CA CERT KEY")
		os.Exit(2)
	}
}
