<?php
// Read from beside the document root: where the databases are differs from place to place, the site does not.
$settings = json_decode(file_get_contents(dirname(__DIR__) . '/settings.json'), true);
define('DB_NAME', 'wordpress');
define('DB_USER', 'wordpress');
define('DB_PASSWORD', $settings['password']);
define('DB_HOST', 'localhost:' . $settings['socket']);
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
define('REDIS_PORT', $settings['redis']);
define('WP_HOME', 'http://127.0.0.1:' . $settings['port']);
define('WP_SITEURL', WP_HOME);
define('DISABLE_WP_CRON', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $name) {
    define($name . '_KEY', $settings['salt'] . $name);
    define($name . '_SALT', $settings['salt'] . $name . 'salt');
}
$table_prefix = 'wp_';
if (!defined('ABSPATH')) {
    define('ABSPATH', __DIR__ . '/');
}
require_once ABSPATH . 'wp-settings.php';
