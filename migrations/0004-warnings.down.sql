DROP TABLE warning;
