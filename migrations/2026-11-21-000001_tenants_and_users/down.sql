drop table contacts, api_keys, users, tenants;
