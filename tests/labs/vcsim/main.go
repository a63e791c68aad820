// Command vcsim is the lab's vCenter: govmomi's simulator with what the tests need on top of it.
//
// Machines can be cloned slowly or fail for lack of resources, addresses arrive late or never,
// sessions expire, what was cloned is known again after a kill, and hooks can turn a machine that
// is powered on into one that can really be logged in to. One JSON line says when it is ready.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/vmware/govmomi/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator" // the REST endpoints (tags)
)

func main() {
	options := parse()
	model := simulator.VPX()
	model.Datacenter = 1
	model.Host = 0
	model.Cluster = options.clusters
	model.ClusterHost = options.hosts
	model.Machine = options.machines
	if options.settings.Instant { // the first version that has them
		about := &model.ServiceContent.About
		about.Version, about.ApiVersion, about.FullName = "6.7.0", "6.7", "VMware vCenter Server 6.7.0 (lab)"
	}
	defer model.Remove()
	must(model.Create())

	lab := newLab(model, options)
	must(lab.templates())
	must(lab.gpus())
	must(lab.restore())
	model.Map().Handler = lab.handle

	certificate, err := tls.LoadX509KeyPair(options.cert, options.key)
	must(err)
	model.Service.TLS = &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
	}
	model.Service.Listen = &url.URL{
		Host: fmt.Sprintf("127.0.0.1:%d", options.port),
		User: url.UserPassword(options.user, options.password),
	}
	model.Service.RegisterEndpoints = true
	model.Service.HandleFunc("/lab/settings", lab.serveSettings)
	model.Service.HandleFunc("/lab/calls", lab.serveCalls)
	server := model.Service.NewServer()
	defer server.Close()
	lab.watch()

	must(json.NewEncoder(os.Stdout).Encode(map[string]string{
		"url":  "https://" + server.URL.Host + server.URL.Path,
		"cert": options.cert,
	}))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}

type options struct {
	port                      int
	user, password            string
	cert, key                 string
	clusters, hosts, machines int
	state                     string
	powerOn, powerOff         string
	settings                  settings
}

func parse() options {
	var o options
	flag.IntVar(&o.port, "port", 0, "port on 127.0.0.1 (0: any free one)")
	flag.StringVar(&o.user, "user", "bench", "the one user who may log in")
	flag.StringVar(&o.cert, "cert", "", "certificate file (PEM)")
	flag.StringVar(&o.key, "key", "", "private key file (PEM)")
	flag.IntVar(&o.clusters, "clusters", 1, "clusters")
	flag.IntVar(&o.hosts, "hosts", 3, "ESXi hosts of each cluster")
	flag.IntVar(&o.machines, "machines", 2, "running machines of other people in each cluster")
	flag.StringVar(&o.state, "state", "", "JSON file that outlives the process")
	flag.StringVar(&o.powerOn, "power-on", "", "command run with a machine's name when it boots; prints its IP")
	flag.StringVar(&o.powerOff, "power-off", "", "command run with a machine's name when it stops")
	text := flag.String("settings", "{}", "JSON object of settings (see settings in lab.go)")
	flag.Parse()
	o.password = os.Getenv("LAB_PASSWORD") // never in the list of processes
	if o.password == "" {
		log.Fatal("vcsim: LAB_PASSWORD is not set")
	}
	if err := json.Unmarshal([]byte(*text), &o.settings); err != nil {
		log.Fatalf("vcsim: -settings: %v", err)
	}
	return o
}

func must(err error) {
	if err != nil {
		log.Fatalf("vcsim: %v", err)
	}
}
