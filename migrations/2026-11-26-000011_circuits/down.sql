drop table provider_circuits;
