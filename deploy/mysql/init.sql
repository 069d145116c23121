-- One database a service; one user for development. In production the services' user needs no right to change
-- the schema: SELECT, INSERT, UPDATE, DELETE; the migrations' user besides CREATE, ALTER, INDEX, DROP.
CREATE DATABASE IF NOT EXISTS cwpp_inventory;
CREATE DATABASE IF NOT EXISTS cwpp_incidents;
CREATE DATABASE IF NOT EXISTS cwpp_configuration;
CREATE DATABASE IF NOT EXISTS cwpp_retention;
CREATE USER IF NOT EXISTS 'cwpp'@'%' IDENTIFIED BY 'cwpp';
GRANT ALL PRIVILEGES ON `cwpp\_%`.* TO 'cwpp'@'%';
