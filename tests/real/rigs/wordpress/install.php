<?php
// php install.php DOCROOT, the administrator's password in RIG_PASSWORD: what the installation page would do.
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = '127.0.0.1';
require $argv[1] . '/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
add_filter('pre_wp_mail', '__return_true');
wp_install('A site under load', 'editor', 'editor@example.org', true, '', getenv('RIG_PASSWORD'));
switch_theme('twentytwentythree');
