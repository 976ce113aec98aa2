package elbv2

// hostedZones are the Route 53 zones of the names of Network Load Balancers,
// from "Elastic Load Balancing endpoints and quotas" of the AWS General
// Reference.
var hostedZones = map[string]string{
	"ap-east-1":      "Z12Y7K3UBGUAD1",
	"ap-northeast-1": "Z31USIVHYNEOWT",
	"ap-northeast-2": "ZIBE1TIR4HY56",
	"ap-south-1":     "ZVDDRBQ08TROA",
	"ap-southeast-1": "ZKVM4W9LS7TM",
	"ap-southeast-2": "ZCT6FZBF4DROD",
	"ca-central-1":   "Z2EPGBW3API2WT",
	"eu-central-1":   "Z3F0SRJ5LGBH90",
	"eu-north-1":     "Z1UDT6IFJ4EJM",
	"eu-south-1":     "Z23146JA1KNAFP",
	"eu-west-1":      "Z2IFOLAFXWLO4F",
	"eu-west-2":      "ZD4D7Y8KGAS4G",
	"eu-west-3":      "Z1CMS0P5QUZ6D5",
	"sa-east-1":      "ZTK26PT1VY4CU",
	"us-east-1":      "Z26RNL4JYFTOTI",
	"us-east-2":      "ZLMOA37VPKANP",
	"us-west-1":      "Z24FKFUX50B4VW",
	"us-west-2":      "Z18D5FSROUN65G",
}

// hostedZone is the zone of a region; of us-east-1 where it is not known.
func hostedZone(region string) string {
	if z, ok := hostedZones[region]; ok {
		return z
	}
	return hostedZones["us-east-1"]
}
